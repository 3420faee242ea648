// SPDX-License-Identifier: Apache-2.0
import Kernels
import ModelFiles

/// How weights are kept and multiplied.
public enum WeightForm: String, Sendable, CaseIterable {
    /// In the file's own blocks where kernels for them exist, else as Q8_0; inputs are quantised to int8 for each product.
    /// Layers whose inputs are not whole blocks of 32 stay in fp32.
    case native
    /// Dequantised to fp32: exact, for comparisons; eight times the memory of 4-bit weights.
    case float32
}

/// A model's weights, ready to run.
///
/// The files are not needed afterwards. Llama's query and key rows are reordered on the way in: GGUF stores its heads for
/// rotary pairs (2i, 2i + 1); here, as in the models' original form, element i pairs with i + d / 2, so that K before rotation is
/// what calibration and published compressors expect.
public final class LanguageModel: Sendable {
    /// The model's shape.
    public let configuration: ModelConfiguration
    /// Token embedding: outputs are tokens; also the output head where ``head`` is tied to it.
    let embedding: LinearWeight
    let layers: [TransformerLayer]
    let finalNorm: [Float]
    let head: LinearWeight
    /// By what each rotary pair's frequency is divided (Llama 3.1's scaling in GGUF); empty: by nothing.
    let rotaryFactors: [Float]

    /// Loads all weights, to be kept in the form given.
    ///
    /// - Throws: ``InferenceError`` or `GGUFError` when something is missing, misshapen or unsupported.
    public init(_ model: ModelFile, form: WeightForm = .native) throws {
        configuration = try ModelConfiguration(model)
        let loader = try WeightLoader(model, configuration: configuration, form: form)
        embedding = try loader.linear("token_embd.weight", outputs: configuration.vocabulary)
        layers = try (0..<configuration.layers).map { try TransformerLayer($0, loader) }
        finalNorm = try loader.vector("output_norm.weight", count: configuration.hidden)
        rotaryFactors = try loader.rotaryFactors()
        head =
            configuration.tiesEmbedding
            ? embedding : try loader.linear("output.weight", outputs: configuration.vocabulary)
    }

    /// Loads all weights of a GGUF file, to be kept in the form given.
    ///
    /// - Throws: ``InferenceError`` or `GGUFError` when something is missing, misshapen or unsupported.
    public convenience init(file: GGUFFile, form: WeightForm = .native) throws {
        try self.init(.gguf(file), form: form)
    }
}

/// The weights of one transformer layer.
struct TransformerLayer: Sendable {
    let attentionNorm: [Float]
    /// `[queries | keys | values]`.
    let queryKeyValue: LinearWeight
    /// Added to a row of that product; empty where the architecture has none.
    let bias: [Float]
    /// Norms of single heads, before rotation.
    let headNorms: (query: [Float], key: [Float])?
    let attentionOutput: LinearWeight
    let feedForwardNorm: [Float]
    let feedForward: FeedForward

    fileprivate init(_ index: Int, _ loader: WeightLoader) throws {
        let c = loader.configuration, name = "blk.\(index)."
        attentionNorm = try loader.vector(name + "attn_norm.weight", count: c.hidden)
        let query = c.heads * c.headDimension, key = c.kvHeads * c.headDimension
        queryKeyValue = try loader.linear(
            parts: [
                .init(name: name + "attn_q.weight", outputs: query, rotaryHead: loader.rotaryPairs),
                .init(name: name + "attn_k.weight", outputs: key, rotaryHead: loader.rotaryPairs),
                .init(name: name + "attn_v.weight", outputs: key),
            ], inputs: c.hidden)
        bias =
            c.architecture.hasBiases
            ? try loader.vector(name + "attn_q.bias", count: query) + loader.vector(name + "attn_k.bias", count: key)
                + loader.vector(name + "attn_v.bias", count: key) : []
        headNorms =
            c.architecture.normalizesHeads
            ? (
                try loader.vector(name + "attn_q_norm.weight", count: c.headDimension),
                try loader.vector(name + "attn_k_norm.weight", count: c.headDimension)
            ) : nil
        attentionOutput = try loader.linear(
            parts: [.init(name: name + "attn_output.weight", outputs: c.hidden)], inputs: c.heads * c.headDimension)
        feedForwardNorm = try loader.vector(name + "ffn_norm.weight", count: c.hidden)
        feedForward = FeedForward(
            gateUp: try loader.linear(
                parts: [
                    .init(name: name + "ffn_gate.weight", outputs: c.feedForward),
                    .init(name: name + "ffn_up.weight", outputs: c.feedForward),
                ], inputs: c.hidden),
            down: try loader.linear(
                parts: [.init(name: name + "ffn_down.weight", outputs: c.hidden)], inputs: c.feedForward))
    }
}
