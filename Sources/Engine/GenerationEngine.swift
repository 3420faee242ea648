// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Dispatch
import Foundation
import Inference
import Kernels
import Synchronization
import Tokenization

/// Generates text for many callers at once in one continuous batch.
///
/// The model runs on a thread of its own; callers wait without blocking a thread of Swift concurrency. A request's
/// tokens depend on the request alone, apart from rounding in the BLAS library (see `ForwardPass`).
public final class GenerationEngine: Sendable {
    private typealias ID = Scheduler.ID

    private struct Caller {
        let continuation: CheckedContinuation<Generation, any Error>
        let onOutput: (@Sendable (GenerationPiece) -> Void)?
    }

    private struct Mailbox {
        var nextID: ID = 0
        var submissions: [(id: ID, request: GenerationRequest, caller: Caller)] = []
        var cancelled: Set<ID> = []
        var progress: [ID: GenerationProgress] = [:]
        var load = EngineLoad()
        var wantsAngles = false
        var isStopped = false
    }

    private let mailbox = Mutex(Mailbox())
    private let compression: PromptCompression?
    private let wake = DispatchSemaphore(value: 0)
    private let pool: KVPool
    private let contextLength: Int
    /// What generated tokens attend to; nil: everything before them.
    public let sparse: SparseAttention?

    /// Starts an engine on a model.
    ///
    /// - Throws: An error that says so if the settings leave no room for a single page of KV cache, or if memory
    ///   cannot be reserved.
    ///
    /// - Parameter compression: How prompts are compressed; nil to keep keys and values as they are computed.
    public init(
        model: LanguageModel, tokenizer: Tokenizer, threads: ThreadPool, settings: EngineSettings = EngineSettings(),
        compression: PromptCompression? = nil
    ) throws {
        self.compression = compression
        sparse = settings.sparse
        // Handed over to the thread below and never touched here again.
        nonisolated(unsafe) let batch = try BatchEngine(
            model: model, tokenizer: tokenizer, threads: threads, settings: settings, compression: compression)
        pool = batch.pool
        contextLength = model.configuration.contextLength
        let initialLoad = batch.load
        let thread = Thread { [self] in serve(batch) }
        mailbox.withLock { $0.load = initialLoad }
        thread.name = "deltakv-engine"
        thread.stackSize = 8 << 20
        thread.start()
    }

    /// Does what the first long prompt would else wait for: takes the memory for its keys and values, which the system would hand
    /// out page by page, and has the engine compute its positions' angles. For whoever starts an engine before there is work. Blocks
    /// for a fraction of a second.
    public func prepareForLongPrompt() {
        mailbox.withLock { $0.wantsAngles = true }
        wake.signal()
        pool.populate(KVPool.pages(forTokens: min(contextLength, Self.preparedTokens)))
    }

    /// Tokens of a long first prompt.
    static let preparedTokens = 8192

    /// Reserves the name under which ``progress(of:)`` reports a request.
    public func ticket() -> UInt64 {
        mailbox.withLock { box in
            box.nextID += 1
            return box.nextID
        }
    }

    /// Continues a prompt.
    ///
    /// - Parameters:
    ///   - request: What to generate.
    ///   - ticket: The request's name, from ``ticket()``; used once.
    ///   - onOutput: Is called on the engine's thread with each token of the first output and the text that it makes certain; must
    ///     return fast. What was resumed does not come again, except for text that was not certain yet.
    /// - Throws: ``GenerationError``, or `CancellationError` within a step of the task's cancellation.
    public func generate(
        _ request: GenerationRequest, ticket: UInt64? = nil, onOutput: (@Sendable (GenerationPiece) -> Void)? = nil
    ) async throws -> Generation {
        let id = ticket ?? self.ticket()
        defer { mailbox.withLock { _ = $0.cancelled.remove(id) } }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                submit(id, request, Caller(continuation: continuation, onOutput: onOutput))
            }
        } onCancel: {
            cancel(id)
        }
    }

    /// How far a running request has come; nil before it is taken up and after it has ended.
    public func progress(of ticket: UInt64) -> GenerationProgress? {
        mailbox.withLock { $0.progress[ticket] }
    }

    /// What the engine does and has done, as of the last step.
    public var load: EngineLoad { mailbox.withLock { $0.load } }

    /// Takes a request off the engine within a step: its caller gets a `CancellationError`.
    public func cancel(_ ticket: UInt64) {
        mailbox.withLock { _ = $0.cancelled.insert(ticket) }
        wake.signal()
    }

    /// Ends the engine: requests under way fail with ``GenerationError/engineStopped``.
    public func stop() {
        mailbox.withLock { $0.isStopped = true }
        wake.signal()
    }

    /// Stands for the model, its codec and their settings; nil where prompts are not compressed.
    public var fingerprint: CacheFingerprint? { compression?.fingerprint }

    /// Where segments of prompts are kept, if anywhere.
    public var store: CacheStore? { compression?.store }

    /// Waits until all segments that were coded so far are in the store.
    public func flush() async { await compression?.writer?.flush() }

    private func submit(_ id: ID, _ request: GenerationRequest, _ caller: Caller) {
        let refusal: (any Error)? = mailbox.withLock { box in
            if box.isStopped { return GenerationError.engineStopped }
            if box.cancelled.contains(id) { return CancellationError() }
            box.submissions.append((id, request, caller))
            return nil
        }
        if let refusal { caller.continuation.resume(throwing: refusal) } else { wake.signal() }
    }
}

// The engine's own thread.
extension GenerationEngine {
    private func serve(_ batch: BatchEngine) {
        var callers: [ID: Caller] = [:]
        while takeMail(into: batch, &callers) {
            guard batch.hasWork else {
                if takeWish() { batch.prepareAngles(tokens: Self.preparedTokens) } else { wake.wait() }
                continue
            }
            mailbox.withLock { $0.load.stepBegan = .now }
            let events = batch.step(), progress = batch.progress, load = batch.load
            mailbox.withLock {
                $0.progress = progress
                $0.load = load
            }
            for event in events { deliver(event, &callers) }
        }
        for caller in callers.values { caller.continuation.resume(throwing: GenerationError.engineStopped) }
    }

    /// Whether angles are wanted ahead, which is said once.
    private func takeWish() -> Bool {
        mailbox.withLock { box in
            defer { box.wantsAngles = false }
            return box.wantsAngles
        }
    }

    /// Takes what has arrived since the last step.
    ///
    /// - Returns: Whether the engine is to go on.
    private func takeMail(into batch: BatchEngine, _ callers: inout [ID: Caller]) -> Bool {
        let (submissions, cancelled, isStopped) = mailbox.withLock { box in
            defer { box.submissions = [] }
            return (box.submissions, box.cancelled, box.isStopped)
        }
        for (id, request, caller) in submissions {
            callers[id] = caller
            do {
                try batch.add(id, request)
            } catch {
                deliver(.failed(id, error), &callers)
            }
        }
        for id in cancelled {
            guard let caller = callers.removeValue(forKey: id) else { continue }
            batch.remove(id)
            caller.continuation.resume(throwing: CancellationError())
        }
        return !isStopped
    }

    private func deliver(_ event: BatchEngine.Event, _ callers: inout [ID: Caller]) {
        switch event {
        case .output(let id, let piece): callers[id]?.onOutput?(piece)
        case .finished(let id, let generation):
            callers.removeValue(forKey: id)?.continuation.resume(returning: generation)
        case .failed(let id, let error):
            callers.removeValue(forKey: id)?.continuation.resume(throwing: error)
        }
    }
}
