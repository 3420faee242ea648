// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Inference
import Tokenization

/// A request in the engine: its tokens so far, its text so far and what it has cost.
struct ActiveSequence {
    let request: GenerationRequest
    /// The most tokens it may generate: what was asked for, cut to the context.
    let outputLimit: Int
    /// The KV pages that it holds, the first ones maybe with others.
    var pages: [PageID] = []
    /// How far the prompt is coded, where prompts are.
    var coded: CodedPrompt?
    /// What it keeps of its pages while it waits for another turn: those after its coded prompt.
    var pagesAside: [PageID] = []
    /// Tokens that are in its pages once its coded prompt is in them again.
    var tokensAside: Int?
    private(set) var output: [TokenID] = []
    private(set) var text = ""
    private(set) var outputTokens = 0
    private var decoder: StreamingDecoder
    private var stops: StopMatcher
    private var pipeline: LogitsPipeline
    private var logprobs: [TokenLogprobs] = []
    private var prefillSeconds = 0.0
    private var decodeSeconds = 0.0
    var computedTokens = 0

    init(request: GenerationRequest, sample: Int = 0, outputLimit: Int, tokenizer: Tokenizer) {
        self.request = request
        self.outputLimit = outputLimit
        decoder = StreamingDecoder(tokenizer)
        stops = StopMatcher(stops: request.stopStrings)
        pipeline = LogitsPipeline(
            request: request, sample: sample, outputLimit: outputLimit, endOfGeneration: tokenizer.endOfGeneration)
    }

    var progress: GenerationProgress {
        GenerationProgress(
            promptTokens: min(tokensAside ?? computedTokens, request.prompt.count), outputTokens: outputTokens)
    }

    /// The tokens at some positions of prompt and output together.
    func tokens(at positions: Range<Int>) -> [TokenID] {
        positions.map { $0 < request.prompt.count ? request.prompt[$0] : output[$0 - request.prompt.count] }
    }

    /// Tokens that are there before any is chosen: the prompt, and of the output what an attempt before had generated.
    var givenTokens: Int { request.prompt.count + request.resumed.count }

    /// Takes what an attempt before had generated.
    mutating func resume(endOfGeneration: Set<TokenID>) throws(GenerationError) {
        for token in request.resumed {
            let choice = LogitsPipeline.Choice(token: token, logprobs: nil)
            guard accept(choice, endsGeneration: endOfGeneration.contains(token)).finish == nil else {
                throw .invalidOption("the output that is to be resumed has ended")
            }
        }
    }

    /// Adds a share of a step's time, to the account of what was given or the output's.
    mutating func charge(seconds: Double, forPositionsFrom first: Int) {
        if first < givenTokens { prefillSeconds += seconds } else { decodeSeconds += seconds }
        coded?.seconds += seconds
    }

    /// Notes that the rows of the next segment are in the pages.
    mutating func advancePrompt() {
        guard var coded else { return }
        coded.advance()
        computedTokens = coded.codedTokens
        if coded.nextKey == nil, let tokensAside { (computedTokens, self.tokensAside) = (tokensAside, nil) }
        self.coded = coded
    }

    /// Whether it can go on later with what is coded of it.
    var canWait: Bool { coded.map { $0.done > 0 && $0.nextKey == nil } ?? false && request.samples == 1 }

    /// Lays aside what is not coded, for another turn.
    ///
    /// - Returns: The pages that it no longer holds.
    mutating func layAside() -> [PageID] {
        let first = (coded?.codedTokens ?? 0) / KVPool.pageTokens, end = KVPool.pages(forTokens: computedTokens)
        let given = pages[..<first] + pages[end...]
        pagesAside = Array(pages[first..<end])
        (pages, tokensAside, computedTokens) = ([], computedTokens, 0)
        coded?.suspend()
        return Array(given)
    }

    /// Puts pages that were set aside for it, and those that it had laid aside, after those that it has.
    mutating func take(_ own: [PageID]) {
        let coded = coded.map { $0.chain.tokens(before: $0.chain.count) / KVPool.pageTokens } ?? 0
        let first = pagesAside.isEmpty ? own.count : coded - pages.count
        pages += own.prefix(first) + pagesAside + own.dropFirst(first)
        pagesAside = []
    }

    /// Gives up what was laid aside: it is computed again.
    ///
    /// - Returns: The pages that it no longer holds.
    mutating func giveUpAside() -> [PageID] {
        guard let coded, !pagesAside.isEmpty else { return [] }
        defer { pagesAside = [] }
        (computedTokens, tokensAside) = (coded.codedTokens, nil)
        return pagesAside
    }

    /// The segment that comes next, where all before it is coded and nothing of it computed.
    var nextSegment: ChunkKey? { coded.flatMap { $0.codedTokens == computedTokens ? $0.nextKey : nil } }

    /// Chooses the next token.
    func choose(from logits: UnsafeBufferPointer<Float>) throws(GenerationError) -> LogitsPipeline.Choice {
        try pipeline.choose(from: logits)
    }

    /// Takes the token just chosen.
    ///
    /// - Parameter endsGeneration: Whether the model ends texts with this token.
    /// - Returns: The text that may now be shown, and why the output ended, if it did.
    mutating func accept(
        _ choice: LogitsPipeline.Choice, endsGeneration: Bool
    ) -> (text: String, finish: FinishReason?) {
        outputTokens += 1
        let isEnd = endsGeneration && !request.ignoresEndOfText || request.stopTokens.contains(choice.token)
        if isEnd { return (flush(), .stop) }
        pipeline.accept(choice.token)
        output.append(choice.token)
        if let logprobs = choice.logprobs { self.logprobs.append(logprobs) }
        let decoded = decoder.append(choice.token)
        let piece = outputTokens > request.minTokens ? stops.append(decoded) : stops.pass(decoded)
        text += piece
        if stops.hasStopped { return (piece, .stop) }
        if pipeline.isFinished { return (piece + flush(), .stop) }
        guard outputTokens >= outputLimit else { return (piece, nil) }
        let isWhole = request.constraint != nil && pipeline.isSatisfied
        return (piece + flush(), stops.hasStopped || isWhole ? .stop : .length)
    }

    private mutating func flush() -> String {
        let piece = stops.append(decoder.finish()) + stops.finish()
        text += piece
        return piece
    }

    /// The result, once the output has ended.
    func generation(finishReason: FinishReason) -> Generation {
        let choice = GenerationChoice(
            tokens: output, text: text, finishReason: finishReason,
            logprobs: request.logprobs == nil ? nil : logprobs)
        return Generation(
            choices: [choice], promptTokens: request.prompt.count,
            cachedTokens: coded?.reusedTokens ?? 0, secondsSaved: coded?.secondsSaved ?? 0,
            miss: coded?.miss, outputTokens: outputTokens, resumedTokens: request.resumed.count,
            prefillSeconds: prefillSeconds, decodeSeconds: decodeSeconds)
    }
}
