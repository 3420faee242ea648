// SPDX-License-Identifier: Apache-2.0

import Inference
import Tokenization

/// A request in the engine: its tokens so far, its text so far and what it has cost.
struct ActiveSequence {
    let request: GenerationRequest
    /// The most tokens it may generate: what was asked for, cut to the context.
    let outputLimit: Int
    /// The KV pages it holds, once admitted.
    var pages: [PageID] = []
    private(set) var output: [TokenID] = []
    private(set) var text = ""
    private(set) var outputTokens = 0
    private var decoder: StreamingDecoder
    private var stops: StopMatcher
    private var prefillSeconds = 0.0
    private var decodeSeconds = 0.0
    var computedTokens = 0

    init(request: GenerationRequest, outputLimit: Int, tokenizer: Tokenizer) {
        self.request = request
        self.outputLimit = outputLimit
        decoder = StreamingDecoder(tokenizer)
        stops = StopMatcher(stops: request.stopStrings)
    }

    var progress: GenerationProgress {
        GenerationProgress(promptTokens: min(computedTokens, request.prompt.count), outputTokens: outputTokens)
    }

    /// The tokens at some positions of prompt and output together.
    func tokens(at positions: Range<Int>) -> [TokenID] {
        positions.map { $0 < request.prompt.count ? request.prompt[$0] : output[$0 - request.prompt.count] }
    }

    /// Adds a share of a step's time, to the prompt's account or the output's.
    mutating func charge(seconds: Double, forPositionsFrom first: Int) {
        if first < request.prompt.count { prefillSeconds += seconds } else { decodeSeconds += seconds }
    }

    /// Takes the token just chosen.
    ///
    /// - Returns: The text that may now be shown, and why the output ended, if it did.
    mutating func accept(_ token: TokenID, endsGeneration: Bool) -> (text: String, finish: FinishReason?) {
        outputTokens += 1
        if endsGeneration, !request.ignoresEndOfText { return (flush(), .stop) }
        output.append(token)
        let piece = stops.append(decoder.append(token))
        text += piece
        if stops.hasStopped { return (piece, .stop) }
        if outputTokens >= outputLimit { return (piece + flush(), stops.hasStopped ? .stop : .length) }
        return (piece, nil)
    }

    private mutating func flush() -> String {
        let piece = stops.append(decoder.finish()) + stops.finish()
        text += piece
        return piece
    }

    /// The result, once the output has ended.
    func generation(finishReason: FinishReason) -> Generation {
        Generation(
            tokens: output, text: text, finishReason: finishReason, promptTokens: request.prompt.count,
            outputTokens: outputTokens, prefillSeconds: prefillSeconds, decodeSeconds: decodeSeconds)
    }
}
