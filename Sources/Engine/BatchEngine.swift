// SPDX-License-Identifier: Apache-2.0

import Inference
import Kernels
import Tokenization

/// Runs many requests in one continuous batch, a step at a time, on the calling thread.
///
/// Requests join and leave between steps. Not thread-safe: ``GenerationEngine`` gives it a thread of its own.
final class BatchEngine {
    /// What a step brought about.
    enum Event {
        case text(Scheduler.ID, String)
        case finished(Scheduler.ID, Generation)
        case failed(Scheduler.ID, GenerationError)
    }

    private let tokenizer: Tokenizer
    private let configuration: ModelConfiguration
    private let pool: KVPool
    private let forward: ForwardPass
    private var scheduler: Scheduler
    private var sequences: [Scheduler.ID: ActiveSequence] = [:]
    private var groups = SampleGroups()

    init(model: LanguageModel, tokenizer: Tokenizer, threads: ThreadPool, settings: EngineSettings) throws {
        self.tokenizer = tokenizer
        configuration = model.configuration
        let pageBytes = KVPool.pageBytes(configuration: configuration, dataType: settings.kvDataType)
        let pages = settings.kvBytes / pageBytes
        guard pages > 0, settings.rowsPerStep > 0, settings.maxSequences > 0 else {
            throw GenerationError.invalidOption(
                "the engine needs at least \(pageBytes) bytes of KV memory, one row a step and one sequence")
        }
        pool = try KVPool(configuration: configuration, dataType: settings.kvDataType, pageCount: pages)
        forward = try ForwardPass(model: model, pool: pool, threads: threads, maxRows: settings.rowsPerStep)
        scheduler = Scheduler(
            limits: .init(
                sequences: min(settings.maxSequences, settings.rowsPerStep), rows: settings.rowsPerStep,
                pageTokens: KVPool.pageTokens, pages: pages))
    }

    /// Whether any request waits or runs.
    var hasWork: Bool { !scheduler.isEmpty }

    /// How far each request has come.
    var progress: [Scheduler.ID: GenerationProgress] {
        var progress: [Scheduler.ID: GenerationProgress] = [:]
        for (id, sequence) in sequences {
            let request = groups.request(of: id), own = sequence.progress
            var sum =
                progress[request]
                ?? GenerationProgress(
                    promptTokens: 0, outputTokens: groups.finishedTokens(of: request))
            sum.promptTokens = max(sum.promptTokens, own.promptTokens)
            sum.outputTokens += own.outputTokens
            progress[request] = sum
        }
        return progress
    }

    /// Checks a request and puts it in line.
    func add(_ id: Scheduler.ID, _ request: GenerationRequest) throws(GenerationError) {
        let outputLimit = try checkedOutputLimit(of: request)
        let capacity = request.prompt.count + outputLimit
        sequences[id] = ActiveSequence(request: request, outputLimit: outputLimit, tokenizer: tokenizer)
        if request.samples > 1 { groups.add(id, samples: request.samples) }
        scheduler.enqueue(id, promptTokens: request.prompt.count, capacity: capacity)
    }

    /// Drops a request and frees what it held.
    func remove(_ id: Scheduler.ID) {
        let request = groups.request(of: id)
        for member in groups.members(of: request) { drop(member) }
        let shared = groups.remove(request)
        pool.free(shared)
        scheduler.release(pages: shared.count)
    }

    private func drop(_ id: Scheduler.ID) {
        guard let sequence = sequences.removeValue(forKey: id) else { return }
        if scheduler.remove(id) { pool.free(sequence.ownPages) }
    }

    /// Computes the next tokens of the batch.
    func step() -> [Event] {
        for (id, count) in scheduler.admit() {
            guard let pages = pool.allocate(count) else { preconditionFailure("the scheduler's page count is wrong") }
            sequences[id]?.pages += pages
        }
        let work = scheduler.plan()
        guard !work.isEmpty else { return [] }
        let clock = ContinuousClock()
        let start = clock.now
        var choices: [Result<LogitsPipeline.Choice, GenerationError>?] = Array(repeating: nil, count: work.count)
        do {
            try forward.run(work.map(segment)) { index, logits in
                choices[index] = self.choose(for: work[index].id, from: logits)
            }
        } catch InferenceError.nonFiniteLogits(let segment) {
            // The others lose nothing: the next step computes the same tokens into the same places again.
            return [fail(work[segment].id, .numericalFailure)]
        } catch {
            return work.map { fail($0.id, .modelFailure("\(error)")) }
        }
        charge(work, seconds: (clock.now - start) / .seconds(1))
        return zip(work, choices).flatMap(settle)
    }

    /// Begins a request's other samples once the whole pages of its prompt are in the cache. At least one token of the
    /// prompt is left to each of them, for the logits after it.
    private func forkIfReady(_ id: Scheduler.ID) {
        guard groups.awaitsFork(id), let leader = sequences[id] else { return }
        let request = leader.request, count = (request.prompt.count - 1) / KVPool.pageTokens
        guard leader.computedTokens >= count * KVPool.pageTokens else { return }
        let shared = Array(leader.pages.prefix(count)), others = groups.fork(id, sharedPages: shared)
        sequences[id]?.sharedPages = count
        for (place, other) in others.enumerated() {
            var sequence = ActiveSequence(
                request: request, sample: place + 1, outputLimit: leader.outputLimit, tokenizer: tokenizer)
            sequence.pages = shared
            sequence.sharedPages = count
            sequence.computedTokens = count * KVPool.pageTokens
            sequences[other] = sequence
        }
        scheduler.fork(
            id, into: others, promptTokens: request.prompt.count,
            capacity: request.prompt.count + leader.outputLimit, sharedPages: count)
    }

    private func checkedOutputLimit(of request: GenerationRequest) throws(GenerationError) -> Int {
        try request.sampling.validate()
        let count = request.prompt.count
        guard count > 0 else { throw .emptyPrompt }
        guard request.maxTokens > 0 else {
            throw .invalidOption("max_tokens must be at least 1, not \(request.maxTokens)")
        }
        guard count < configuration.contextLength else {
            throw .promptTooLong(tokens: count, limit: configuration.contextLength - 1)
        }
        if let token = request.prompt.first(where: { $0 < 0 || Int($0) >= configuration.vocabulary }) {
            throw .invalidToken(token)
        }
        let limit = min(request.maxTokens, configuration.contextLength - count)
        try request.checkOutput(limit: limit, vocabulary: configuration.vocabulary)
        guard scheduler.pages(forTokens: count + limit) <= pool.pageCount else {
            throw .exceedsMemory(tokens: count + limit, limit: pool.pageCount * KVPool.pageTokens)
        }
        return limit
    }

    private func segment(_ work: Scheduler.Work) -> Segment {
        let sequence = sequences[work.id]!  // planned from the same set of sequences
        return Segment(
            tokens: sequence.tokens(at: work.positions), position: work.positions.lowerBound, pages: sequence.pages,
            wantsLogits: work.choosesToken)
    }

    private func choose(
        for id: Scheduler.ID, from logits: UnsafeBufferPointer<Float>
    ) -> Result<LogitsPipeline.Choice, GenerationError> {
        let sequence = sequences[id]!  // planned from the same set of sequences
        return Result { () throws(GenerationError) in try sequence.choose(from: logits) }
    }

    /// Shares a step's time out by rows.
    private func charge(_ work: [Scheduler.Work], seconds: Double) {
        let rows = work.reduce(0) { $0 + $1.positions.count }
        for item in work {
            let share = seconds * Double(item.positions.count) / Double(rows)
            sequences[item.id]?.charge(seconds: share, forPositionsFrom: item.positions.lowerBound)
            sequences[item.id]?.computedTokens = item.positions.upperBound
        }
    }

    private func settle(
        _ work: Scheduler.Work, _ choice: Result<LogitsPipeline.Choice, GenerationError>?
    ) -> [Event] {
        // Another sample of the request may have failed in this step, and it be gone.
        guard sequences[work.id] != nil else { return [] }
        scheduler.complete(work)
        forkIfReady(work.id)
        switch choice {
        case nil: return []
        case .failure(let error): return [fail(work.id, error)]
        case .success(let choice):
            let ends = tokenizer.endOfGeneration.contains(choice.token)
            guard let (text, finish) = sequences[work.id]?.accept(choice, endsGeneration: ends) else { return [] }
            let events: [Event] = text.isEmpty || !groups.isFirst(work.id) ? [] : [.text(work.id, text)]
            guard let finish, let sequence = sequences[work.id] else { return events }
            return events + finished(work.id, sequence.generation(finishReason: finish))
        }
    }

    private func finished(_ id: Scheduler.ID, _ generation: Generation) -> [Event] {
        guard let whole = groups.finish(id, generation) else {
            drop(id)
            return []
        }
        let request = groups.request(of: id)
        remove(request)
        return [.finished(request, whole)]
    }

    private func fail(_ id: Scheduler.ID, _ error: GenerationError) -> Event {
        let request = groups.request(of: id)
        remove(request)
        return .failed(request, error)
    }
}
