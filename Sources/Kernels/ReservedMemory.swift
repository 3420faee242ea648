// SPDX-License-Identifier: Apache-2.0
#if canImport(Glibc)
    import Glibc
#endif

/// Zeroed memory straight from the operating system: address space is reserved at once, physical pages come with use.
///
/// Sendable in the sense of a raw buffer: who writes where and when is up to the owners.
public final class ReservedMemory: @unchecked Sendable {
    /// The first byte, aligned to 64 bytes at least (2 MiB where huge pages were asked for).
    public let base: UnsafeMutableRawPointer
    /// Usable bytes.
    public let count: Int
    private let mapping: UnsafeMutableRawPointer
    private let mappedBytes: Int

    /// Reserves `count` bytes (at least one). `hugePages` asks for 2 MiB pages, which streaming kernels like; memory then
    /// grows in steps of that size.
    ///
    /// - Throws: ``KernelError/outOfMemory(bytes:code:)``.
    public init(count: Int, hugePages: Bool = false) throws(KernelError) {
        let alignment = hugePages ? 2 << 20 : 4096
        let (total, overflow) = max(count, 1).addingReportingOverflow(alignment)
        guard !overflow else { throw .outOfMemory(bytes: count, code: ENOMEM) }
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let mapping = mmap(nil, total, PROT_READ | PROT_WRITE, flags, -1, 0), mapping != MAP_FAILED else {
            throw .outOfMemory(bytes: count, code: errno)
        }
        self.mapping = mapping
        self.mappedBytes = total
        self.count = max(count, 1)
        self.base = mapping.alignedUp(toMultipleOf: alignment)
        if hugePages { madvise(base, self.count, Int32(MADV_HUGEPAGE)) }
    }

    /// Takes the first `count` bytes' physical memory now rather than when they are first written, which would slow that down.
    /// Where the system cannot do so ahead of time, memory comes with use as ever.
    public func populate(_ count: Int) {
        let populateForWriting: Int32 = 23  // MADV_POPULATE_WRITE of Linux 5.14, which older headers do not name
        madvise(base, min(count, self.count), populateForWriting)
    }

    /// Gives back the physical memory of what lies wholly within `range`: its contents are lost, and it comes again with use.
    public func discard(_ range: Range<Int>) {
        let page = 4096, first = (range.lowerBound + page - 1) / page * page,
            end = min(range.upperBound, count) / page * page
        if first < end { madvise(base + first, end - first, Int32(MADV_DONTNEED)) }
    }

    deinit { munmap(mapping, mappedBytes) }

    /// The memory as `count` floats.
    public func floats(at offset: Int = 0) -> UnsafeMutablePointer<Float> {
        (base + offset).assumingMemoryBound(to: Float.self)
    }
}

extension UnsafeMutableRawPointer {
    fileprivate func alignedUp(toMultipleOf alignment: Int) -> UnsafeMutableRawPointer {
        let address = UInt(bitPattern: self), mask = UInt(alignment - 1)
        return self + Int((address + mask & ~mask) - address)
    }
}
