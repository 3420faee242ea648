// SPDX-License-Identifier: Apache-2.0
import Kernels
import Synchronization

/// Memory for the K and V of all sequences, in pages of ``pageTokens`` tokens across all layers.
///
/// Pages lie in slabs (``KVLayout``), and a slab takes memory as a whole. Address space is reserved at once; memory grows as slabs
/// are first used, and used ones are handed out again first. What they take goes back to the system when it is asked for
/// (``discard(downTo:)``).
/// Pages are counted: sequences that begin alike may hold the same pages, which are free when the last has given them back.
/// Allocation is thread-safe; who may write a page when is up to its holders.
public final class KVPool: Sendable {
    /// Tokens of a page.
    public static let pageTokens = KVLayout.pageTokens
    /// Pages of the pool.
    public let pageCount: Int
    /// Bytes of a page.
    public let pageBytes: Int
    /// How pages are laid out.
    let layout: KVLayout
    private let memory: ReservedMemory
    private let pages: Mutex<PageAllocator>

    /// Bytes that a page of a model's pool takes.
    public static func pageBytes(configuration: ModelConfiguration, dataType: KVDataType) -> Int {
        KVLayout(configuration, dataType).pageBytes
    }

    /// A pool of `pageCount` free pages.
    ///
    /// - Throws: ``InferenceError`` if the number is out of range or the address space cannot be reserved.
    public init(configuration: ModelConfiguration, dataType: KVDataType, pageCount: Int) throws(InferenceError) {
        guard pageCount > 0, pageCount <= Int32.max else { throw .invalidPageCount(pageCount) }
        layout = KVLayout(configuration, dataType)
        pageBytes = layout.pageBytes
        self.pageCount = pageCount
        let (bytes, overflow) = layout.slabBytes(forPages: pageCount)
        guard !overflow else { throw .invalidPageCount(pageCount) }
        do throws(KernelError) {
            memory = try ReservedMemory(count: bytes, hugePages: true)
        } catch {
            throw .kernel(error)
        }
        pages = Mutex(PageAllocator(pages: pageCount))
    }

    /// Takes the physical memory of the pages that are used first now rather than when they are first written.
    public func populate(_ pages: Int) {
        memory.populate(layout.slabBytes(forPages: min(pages, pageCount)).partialValue)
    }

    /// Pages that are not in use.
    public var freePages: Int { pages.withLock { $0.freePages } }

    /// Pages of slabs that were used and have not been given back to the system.
    public var backedPages: Int { pages.withLock { $0.backedPages } }

    /// Gives the memory of free slabs back to the system until at most so many pages are in slabs that hold any, or all free ones have
    /// none.
    public func discard(downTo most: Int) {
        pages.withLock { pages in
            for slab in pages.discard(downTo: most) {
                let start = slab * layout.slabBytes
                memory.discard(start..<start + layout.slabBytes)
            }
        }
    }

    /// Takes `count` pages, or none and returns nil if there are fewer. Their contents are undefined.
    public func allocate(_ count: Int) -> [PageID]? { pages.withLock { $0.allocate(count) } }

    /// Holds pages that are in use once more.
    public func retain(_ held: some Sequence<PageID>) { pages.withLock { $0.retain(held) } }

    /// Gives pages back. Traps on a page that is not in use: its next holder's data would be overwritten.
    public func release(_ held: some Sequence<PageID>) { pages.withLock { $0.release(held) } }

    /// Pages that a sequence of `tokens` tokens needs.
    public static func pages(forTokens tokens: Int) -> Int { (tokens + pageTokens - 1) / pageTokens }

    /// Where a page is, or nil if it is not of this pool.
    func place(of page: PageID) -> KVPage? {
        guard page.index >= 0, Int(page.index) < pageCount else { return nil }
        return layout.place(ofPage: Int(page.index), in: memory)
    }
}

extension KVLayout {
    fileprivate init(_ configuration: ModelConfiguration, _ dataType: KVDataType) {
        self.init(
            layers: configuration.layers, kvHeads: configuration.kvHeads, headDimension: configuration.headDimension,
            dataType: dataType)
    }
}
