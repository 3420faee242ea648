// SPDX-License-Identifier: Apache-2.0
import Dispatch
import Synchronization

/// Writes chunks in the background, in the order in which they come, so that whoever computes never waits for the disk.
///
/// The queue is bounded: what does not fit is not written, and counted in ``CacheStatistics/refused``. Chunks of a chain are to
/// come in their order, since one whose parent was not written is not written either.
public final class CacheWriter: Sendable {
    private let store: CacheStore
    private let limit: Int
    private let queue = DispatchQueue(label: "deltakv.cache.writer")
    private let waiting = Mutex(0)
    private let report: @Sendable (Result<Publication, CacheError>) -> Void

    /// A writer for a store.
    ///
    /// - Parameters:
    ///   - bytes: Of sections that wait to be written, at most.
    ///   - report: Told, on the writer's thread, what became of each chunk.
    public init(
        store: CacheStore, bytes: Int = 256 << 20,
        report: @escaping @Sendable (Result<Publication, CacheError>) -> Void = { _ in }
    ) {
        self.store = store
        limit = bytes
        self.report = report
    }

    /// Hands over a chunk. Returns at once.
    ///
    /// - Parameter pins: Kept until the chunk is written, such as the loaded chunks of its chain.
    /// - Returns: Whether there was room for it in the queue.
    @discardableResult
    public func submit(
        _ sections: [CacheSection], at index: Int, of chain: ChunkChain, prefillSeconds: Double,
        pins: [LoadedChunk] = []
    ) -> Bool {
        let size = sections.reduce(0) { $0 + $1.bytes.count }
        let fits = waiting.withLock { waiting in
            // A chunk larger than the queue comes when nothing else waits.
            guard waiting == 0 || waiting + size <= limit else { return false }
            waiting += size
            return true
        }
        guard fits else {
            store.state.withLock { $0.statistics.refused += 1 }
            return false
        }
        queue.async { [self] in
            let result = Result { () throws(CacheError) in
                try store.publish(sections, at: index, of: chain, prefillSeconds: prefillSeconds)
            }
            withExtendedLifetime(pins) {}
            waiting.withLock { $0 -= size }
            report(result)
        }
        return true
    }

    /// Waits until all that was handed over so far is written.
    public func flush() async {
        await withCheckedContinuation { continuation in queue.async { continuation.resume() } }
    }
}
