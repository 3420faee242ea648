// SPDX-License-Identifier: Apache-2.0
import Kernels
import Synchronization

/// A page of a ``KVPool``.
public struct PageID: Hashable, Sendable {
    let index: Int32
}

/// Memory for the K and V of all sequences, in pages of ``pageTokens`` tokens across all layers.
///
/// Address space is reserved at once; memory grows as pages are first used, and used pages are handed out again first. What they
/// take goes back to the system when it is asked for (``discard(downTo:)``).
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
    private let state: Mutex<State>

    private struct State {
        /// Pages that were used and freed, last freed last.
        var free: [PageID] = []
        /// Free pages whose memory has been given back.
        var bare: [PageID] = []
        /// Pages from here on were never used.
        var fresh: Int32 = 0
        /// How often each page is held.
        var holders: [Int32]

        /// Pages that may hold memory, in use or not.
        var backed: Int { Int(fresh) - bare.count }
        func freePages(of all: Int) -> Int { free.count + bare.count + all - Int(fresh) }
    }

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
        let (bytes, overflow) = pageBytes.multipliedReportingOverflow(by: pageCount)
        guard !overflow else { throw .invalidPageCount(pageCount) }
        do throws(KernelError) {
            memory = try ReservedMemory(count: bytes, hugePages: true)
        } catch {
            throw .kernel(error)
        }
        state = Mutex(State(holders: Array(repeating: 0, count: pageCount)))
    }

    /// Takes the physical memory of the pages that are used first now rather than when they are first written.
    public func populate(_ pages: Int) { memory.populate(min(pages, pageCount) * pageBytes) }

    /// Pages that are not in use.
    public var freePages: Int { state.withLock { $0.freePages(of: pageCount) } }

    /// Pages that were used and have not been given back to the system.
    var backedPages: Int { state.withLock { $0.backed } }

    /// Gives the memory of free pages back to the system until at most so many pages hold any, or all free ones have none.
    public func discard(downTo most: Int) {
        state.withLock { state in
            let count = min(state.free.count, max(0, state.backed - most))
            for page in state.free.prefix(count) {
                let start = Int(page.index) * pageBytes
                memory.discard(start..<start + pageBytes)
            }
            state.bare += state.free.prefix(count)
            state.free.removeFirst(count)
        }
    }

    /// Takes `count` pages, or none and returns nil if there are fewer. Their contents are undefined.
    public func allocate(_ count: Int) -> [PageID]? {
        precondition(count >= 0, "a negative number of pages")
        return state.withLock { state in
            guard count <= state.freePages(of: pageCount) else { return nil }
            var pages: [PageID] = []
            pages.reserveCapacity(count)
            while pages.count < count {
                let page = state.free.popLast() ?? state.bare.popLast() ?? PageID(index: state.fresh)
                if page.index == state.fresh { state.fresh += 1 }
                state.holders[Int(page.index)] = 1
                pages.append(page)
            }
            return pages
        }
    }

    /// Holds pages that are in use once more.
    public func retain(_ pages: some Sequence<PageID>) {
        state.withLock { state in
            for page in pages {
                precondition(state.holders[Int(page.index)] > 0, "a KV page that is free cannot be shared")
                state.holders[Int(page.index)] += 1
            }
        }
    }

    /// Gives pages back. Traps on a page that is not in use: its next holder's data would be overwritten.
    public func release(_ pages: some Sequence<PageID>) {
        state.withLock { state in
            for page in pages {
                precondition(state.holders[Int(page.index)] > 0, "a KV page was given back twice")
                state.holders[Int(page.index)] -= 1
                if state.holders[Int(page.index)] == 0 { state.free.append(page) }
            }
        }
    }

    /// Pages that a sequence of `tokens` tokens needs.
    public static func pages(forTokens tokens: Int) -> Int { (tokens + pageTokens - 1) / pageTokens }

    /// The first byte of a page, or nil if the page is not of this pool.
    func address(of page: PageID) -> UnsafeMutablePointer<CChar>? {
        guard page.index >= 0, Int(page.index) < pageCount else { return nil }
        return (memory.base + Int(page.index) * pageBytes).assumingMemoryBound(to: CChar.self)
    }
}

extension KVLayout {
    fileprivate init(_ configuration: ModelConfiguration, _ dataType: KVDataType) {
        self.init(
            layers: configuration.layers, kvHeads: configuration.kvHeads, headDimension: configuration.headDimension,
            dataType: dataType)
    }
}
