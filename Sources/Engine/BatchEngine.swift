// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Inference
import Kernels
import Tokenization

/// Runs many requests in one continuous batch, a step at a time, on the calling thread.
///
/// Requests join and leave between steps. Not thread-safe: ``GenerationEngine`` gives it a thread of its own.
final class BatchEngine {
    /// What a step brought about.
    enum Event {
        case output(Scheduler.ID, GenerationPiece)
        case finished(Scheduler.ID, Generation)
        case failed(Scheduler.ID, GenerationError)
    }

    private let tokenizer: Tokenizer
    private let configuration: ModelConfiguration
    let pool: KVPool
    private let forward: ForwardPass
    /// Nil where prompts are kept as they are computed.
    private let prompts: PromptCache?
    private var scheduler: Scheduler
    private var sequences: [Scheduler.ID: ActiveSequence] = [:]
    private var groups = SampleGroups()
    private let pageBytes: Int
    private let pageCount: Int
    private let turnTokens: Int
    private var totals = EngineLoad()

    init(
        model: LanguageModel, tokenizer: Tokenizer, threads: ThreadPool, settings: EngineSettings,
        compression: PromptCompression?
    ) throws {
        self.tokenizer = tokenizer
        configuration = model.configuration
        pageBytes = KVPool.pageBytes(configuration: configuration, dataType: settings.kvDataType)
        let bytesInAll = EngineSettings.bytes(ofPage: pageBytes, coded: compression != nil)
        let pages = settings.kvBytes / bytesInAll
        guard pages > 0, settings.rowsPerStep > 0, settings.maxSequences > 0 else {
            throw GenerationError.invalidOption(
                "the engine needs at least \(bytesInAll) bytes of KV memory, one row a step and one sequence")
        }
        pageCount = pages
        totals.kvBytes = pages * bytesInAll
        turnTokens = settings.turnTokens
        pool = try KVPool(configuration: configuration, dataType: settings.kvDataType, pageCount: pages)
        forward = try ForwardPass(
            model: model, pool: pool, threads: threads, maxRows: settings.rowsPerStep, sparse: settings.sparse)
        prompts = try compression.map { [pool, forward] in try PromptCache($0, pool: pool, forward: forward) }
        scheduler = Scheduler(
            limits: .init(
                sequences: min(settings.maxSequences, settings.rowsPerStep), rows: settings.rowsPerStep,
                pageTokens: KVPool.pageTokens, pages: pages))
    }

    /// Computes the angles of the first tokens' positions ahead.
    func prepareAngles(tokens: Int) { forward.prepareAngles(positions: tokens) }

    /// Whether any request waits or runs.
    var hasWork: Bool { !scheduler.isEmpty }

    /// What the engine does and has done.
    var load: EngineLoad {
        var load = totals
        load.running = scheduler.runningCount
        load.times = forward.times
        load.kvUsedBytes = usedBytes
        return load
    }

    /// Bytes of pages in use and of coded rows.
    private var usedBytes: Int { (pageCount - pool.freePages) * pageBytes + (prompts?.codedBytes ?? 0) }

    /// Bytes of slabs, of coded rows and of rows that are to be coded.
    private var takenMemory: Int {
        let underWay = sequences.values.count { $0.coded?.rows != nil }
        return pool.backedPages * pageBytes + (prompts?.takenMemory(underWay: underWay) ?? 0)
    }

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
        var sequence = ActiveSequence(request: request, outputLimit: outputLimit, tokenizer: tokenizer)
        try sequence.resume(endOfGeneration: tokenizer.endOfGeneration)
        sequence.coded = prompts?.plan(request)
        sequences[id] = sequence
        if request.samples > 1 { groups.add(id, samples: request.samples) }
        scheduler.enqueue(
            id, givenTokens: sequence.givenTokens, capacity: capacity, segmentEnds: sequence.coded?.chain.ends ?? [])
    }

    /// Drops a request and frees what it held.
    func remove(_ id: Scheduler.ID) {
        let request = groups.request(of: id)
        for member in groups.members(of: request) { drop(member) }
        groups.remove(request)
    }

    private func drop(_ id: Scheduler.ID) {
        guard let sequence = sequences.removeValue(forKey: id) else { return }
        scheduler.remove(id)
        prompts?.end(sequence)
        pool.release(sequence.pages)
        pool.release(sequence.pagesAside)
    }

    /// Computes the next tokens of the batch.
    func step() -> [Event] {
        admit()
        defer { totals.kvPeakMemory = max(totals.kvPeakMemory, takenMemory) }
        let reuse = reuseSegments()
        let work = scheduler.plan(without: reuse.held)
        guard !work.isEmpty else { return reuse.events }
        return reuse.events + compute(work)
    }

    private func compute(_ work: [Scheduler.Work]) -> [Event] {
        let clock = ContinuousClock()
        let start = clock.now
        var choices: [Result<LogitsPipeline.Choice, GenerationError>?] = Array(repeating: nil, count: work.count)
        do {
            try prompts?.prepare(work, &sequences)
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

    /// Lets waiting sequences in. Where there is no room for them, those that have had their turn make it.
    private func admit() {
        func letIn() {
            var isIdle = scheduler.runningCount == 0
            scheduler.admit { id, tokens in
                let computed = reserve(id, tokens: tokens, besidePacked: !isIdle)
                if computed != nil { isIdle = false }
                return computed
            }
        }
        letIn()
        for id in scheduler.idsThatHadTheirTurn(tokens: turnTokens) where scheduler.waitsForPages {
            guard sequences[id]?.canWait == true else { continue }
            suspend(id)
            letIn()
            prompts?.trimPages()
        }
        // What sequences have laid aside may leave no room for any of them.
        for id in scheduler.waitingIDs.reversed() where scheduler.runningCount == 0 {
            pool.release(sequences[id]?.giveUpAside() ?? [])
            letIn()
        }
    }

    /// Makes a sequence wait for another turn. What is coded of it stays in memory, and is decoded then.
    private func suspend(_ id: Scheduler.ID) {
        guard let sequence = sequences[id] else { return }
        prompts?.suspend(sequence)
        pool.release(sequences[id]!.layAside())
        scheduler.suspend(id)
        totals.suspensions += 1
    }

    /// Sets pages aside for a sequence's longest course. Returns how many of its tokens are in them already, or nil.
    ///
    /// - Parameter besidePacked: Whether what is kept of those that wait is to fit into memory too: not where nothing else could run at all.
    private func reserve(_ id: Scheduler.ID, tokens: Int, besidePacked: Bool) -> Int? {
        guard var sequence = sequences[id] else { return nil }
        // Before it is admitted a sequence holds only pages that others have too.
        prompts?.begin(&sequence)
        let missing = KVPool.pages(forTokens: tokens) - sequence.pages.count - sequence.pagesAside.count
        sequences[id] = sequence
        let hasRoom = prompts?.makeRoom(pages: missing, besidePacked: besidePacked)
        guard hasRoom ?? (pool.freePages >= missing), let own = pool.allocate(missing) else { return nil }
        sequences[id]?.take(own)
        return sequence.computedTokens
    }

    /// Takes segments of prompts from memory and from the store where sequences stand at their beginnings.
    ///
    /// - Returns: Sequences whose next segment another one is computing, and what failed.
    private func reuseSegments() -> (held: Set<Scheduler.ID>, events: [Event]) {
        guard let prompts else { return ([], []) }
        var held: Set<Scheduler.ID> = [], claimed: Set<ChunkKey> = [], events: [Event] = []
        // Decoding a segment takes a while: a batch that generates is not to wait for many.
        var restores = scheduler.decodes ? 1 : .max
        for id in scheduler.runningIDs {
            do {
                while let sequence = sequences[id], let key = sequence.nextSegment, !claimed.contains(key), restores > 0
                {
                    guard let restored = try prompts.takeNext(&sequences[id]!, most: restores) else { break }
                    restores -= restored
                    scheduler.advance(id, to: sequences[id]?.computedTokens ?? 0)
                }
            } catch {
                events.append(fail(id, .modelFailure("\(error)")))
            }
            guard let sequence = sequences[id], let key = sequence.coded?.nextKey else { continue }
            // What is stored is not computed: its turn comes at one of the next steps.
            let isNext = restores == 0 && sequence.nextSegment != nil && prompts.mayBeCoded(sequence)
            if !claimed.insert(key).inserted || isNext { held.insert(id) }
        }
        return (held, events)
    }

    /// Begins a request's other samples once the whole pages of its prompt are in the cache. At least one token of the
    /// prompt is left to each of them, for the logits after it.
    private func forkIfReady(_ id: Scheduler.ID) {
        guard groups.awaitsFork(id), let leader = sequences[id] else { return }
        let request = leader.request, count = (request.prompt.count - 1) / KVPool.pageTokens
        guard leader.computedTokens >= count * KVPool.pageTokens else { return }
        let others = groups.fork(id)
        for (place, other) in others.enumerated() {
            var sequence = ActiveSequence(
                request: request, sample: place + 1, outputLimit: leader.outputLimit, tokenizer: tokenizer)
            sequence.pages = Array(leader.pages.prefix(count))
            sequence.computedTokens = count * KVPool.pageTokens
            pool.retain(sequence.pages)
            sequences[other] = sequence
        }
        scheduler.enqueueNext(
            others, givenTokens: request.prompt.count, capacity: request.prompt.count + leader.outputLimit,
            computed: count * KVPool.pageTokens)
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
        let isUnknown = { (token: TokenID) in token < 0 || Int(token) >= self.configuration.vocabulary }
        if let token = request.prompt.first(where: isUnknown) ?? request.resumed.first(where: isUnknown) {
            throw .invalidToken(token)
        }
        let limit = min(request.maxTokens, configuration.contextLength - count)
        try request.checkOutput(limit: limit, vocabulary: configuration.vocabulary)
        guard KVPool.pages(forTokens: count + limit) <= pool.pageCount else {
            throw .exceedsMemory(tokens: count + limit, limit: pool.pageCount * KVPool.pageTokens)
        }
        return limit
    }

    private func segment(_ work: Scheduler.Work) -> Segment {
        let sequence = sequences[work.id]!  // planned from the same set of sequences
        return Segment(
            tokens: sequence.tokens(at: work.positions), position: work.positions.lowerBound, pages: sequence.pages,
            wantsLogits: work.choosesToken, sparseFrom: sequence.request.prompt.count)
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
        totals.steps += 1
        for item in work {
            let share = seconds * Double(item.positions.count) / Double(rows)
            totals.count(
                rows: item.positions.count,
                areGiven: item.positions.lowerBound < sequences[item.id]?.givenTokens ?? 0,
                choosesToken: item.choosesToken, seconds: share)
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
        do {
            try prompts?.codeNext(&sequences[work.id]!)
        } catch {
            return [fail(work.id, .modelFailure("\(error)"))]
        }
        forkIfReady(work.id)
        switch choice {
        case nil: return []
        case .failure(let error): return [fail(work.id, error)]
        case .success(let choice):
            let ends = tokenizer.endOfGeneration.contains(choice.token)
            guard let (text, finish) = sequences[work.id]?.accept(choice, endsGeneration: ends) else { return [] }
            let piece = GenerationPiece(token: finish == nil ? choice.token : nil, text: text)
            let events: [Event] = groups.isFirst(work.id) ? [.output(work.id, piece)] : []
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
