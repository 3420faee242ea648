// SPDX-License-Identifier: Apache-2.0

import Engine
import Inference
import Kernels
import ModelFiles
import Tokenization

/// A model with everything needed to run it.
public struct LoadedModel: Sendable {
    /// The weights.
    public let model: LanguageModel
    /// The text side.
    public let tokenizer: Tokenizer
    private let template: Result<ChatTemplate, any Error>
    /// What its makers advise for sampling, unless that is to be left aside.
    public let advised: JobOptions
    /// Where it computes.
    public let threads: ThreadPool

    /// Loads a model.
    ///
    /// - Parameters:
    ///   - path: A GGUF file or a Hugging Face folder.
    ///   - weights: How the weights are kept and multiplied.
    ///   - threads: Threads that compute; 0 for as many as the machine gives.
    ///   - takesAdvice: Whether its makers' advice for sampling counts where jobs say nothing else.
    ///
    /// A model without a chat template is loaded too: prompts can be given to it as they are.
    ///
    /// - Throws: The reader's, the tokenizer's or the model's error, which says what is wrong with the model's files.
    public init(path: String, weights: WeightForm, threads: Int, takesAdvice: Bool = true) throws {
        let file = try ModelFile(path: path)
        tokenizer = try Tokenizer(file)
        template = Result { try ChatTemplate(file) }
        advised = takesAdvice ? try SamplingAdvice(file).options : JobOptions()
        self.threads = threads > 0 ? try ThreadPool(threads: threads) : try ThreadPool()
        model = try LanguageModel(file, form: weights)
    }

    /// How conversations become prompts.
    ///
    /// - Throws: `TokenizerError` where the model has no chat template, or one that cannot be read.
    public func chatTemplate() throws -> ChatTemplate { try template.get() }

    /// Starts an engine on the model.
    ///
    /// - Parameter compression: How prompts are compressed; nil to keep keys and values as they are computed.
    public func engine(
        _ settings: EngineSettings, compression: PromptCompression? = nil
    ) throws -> GenerationEngine {
        try GenerationEngine(
            model: model, tokenizer: tokenizer, threads: threads, settings: settings, compression: compression)
    }
}
