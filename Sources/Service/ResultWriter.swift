// SPDX-License-Identifier: Apache-2.0

import JobQueue

/// Writes results in batches without making any of them wait: while one write is under way, those that come gather for
/// the next.
actor ResultWriter {
    private let worker: JobWorker
    private var waiting: [(result: JobResult, continuation: CheckedContinuation<Settlement, any Error>)] = []
    private var isWriting = false

    init(worker: JobWorker) {
        self.worker = worker
    }

    /// Writes a result and returns what the queue made of it.
    func write(_ result: JobResult) async throws -> Settlement {
        try await withCheckedThrowingContinuation { continuation in
            waiting.append((result, continuation))
            guard !isWriting else { return }
            isWriting = true
            // Not a child of the caller: others wait for this write too.
            Task { await self.writeAll() }
        }
    }

    private func writeAll() async {
        while !waiting.isEmpty {
            let batch = waiting
            waiting = []
            do {
                let settled = try await worker.complete(batch.map(\.result))
                let states = Dictionary(settled.map { ($0.jobID, $0) }, uniquingKeysWith: { first, _ in first })
                for (result, continuation) in batch {
                    let id = result.lease.jobID
                    continuation.resume(returning: states[id] ?? Settlement(jobID: id, state: nil))
                }
            } catch {
                for (_, continuation) in batch { continuation.resume(throwing: error) }
            }
        }
        isWriting = false
    }
}
