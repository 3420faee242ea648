// SPDX-License-Identifier: Apache-2.0

import Engine
import Inference

/// How much a daemon may claim: what its engine has room for.
///
/// An estimate, made before prompts are tokenised. One that is too low lets a claim wait in the engine for pages; one that
/// is too high leaves jobs to others for a moment.
struct KVBudget: Sendable {
    /// Tokens whose keys and values the engine can hold.
    let capacity: Int

    /// Bytes of English text that make a token, on average.
    static let bytesPerToken = 4

    /// Tokens that inputs of so many bytes are likely to make.
    static func tokens(forBytes bytes: Int) -> Int { bytes / bytesPerToken }

    /// Tokens that a request may come to hold. What is out of range fails later, and must not overflow here.
    static func tokens(of request: GenerationRequest) -> Int {
        request.prompt.count + min(max(request.maxTokens, 0), 1 << 24) * min(max(request.samples, 1), 128)
    }

    /// Bytes of inputs that fit beside jobs that hold so many tokens.
    func inputBytes(beside held: Int) -> Int { max(0, capacity - held) * Self.bytesPerToken }
}

extension Settings {
    /// Tokens of a model whose keys and values fit.
    func kvTokens(for configuration: ModelConfiguration) -> Int {
        let page = KVPool.pageBytes(configuration: configuration, dataType: engine.kvDataType)
        return engine.kvBytes / EngineSettings.bytes(ofPage: page, coded: kvPolicy == .deltakv) * KVPool.pageTokens
    }
}
