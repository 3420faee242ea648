// SPDX-License-Identifier: Apache-2.0
import Kernels
import ModelFiles

/// How weights are kept and multiplied.
public enum WeightForm: String, Sendable, CaseIterable {
    /// In the file's own blocks where kernels for them exist, with inputs quantised to int8 for each product; else fp32.
    case native
    /// Dequantised to fp32: exact, for comparisons; eight times the memory of 4-bit weights.
    case float32
}

/// A model's weights, ready to run.
///
/// The file is not needed afterwards. Query and key rows are reordered on the way in: GGUF stores llama's heads for rotary
/// pairs (2i, 2i + 1); here, as in the models' original form, element i pairs with i + d / 2, so that K before rotation is
/// what calibration and published compressors expect.
public final class LanguageModel: Sendable {
    /// The model's shape.
    public let configuration: ModelConfiguration
    /// Token embedding: outputs are tokens; also the output head where ``head`` is tied to it.
    let embedding: LinearWeight
    let layers: [TransformerLayer]
    let finalNorm: [Float]
    let head: LinearWeight

    /// Loads all weights of a file, to be kept in the form given.
    ///
    /// - Throws: ``InferenceError`` or `GGUFError` when something is missing, misshapen or unsupported.
    public init(file: GGUFFile, form: WeightForm = .native) throws {
        configuration = try ModelConfiguration(file: file)
        let loader = try WeightLoader(file: file, configuration: configuration, form: form)
        embedding = try loader.linear("token_embd.weight", outputs: configuration.vocabulary)
        layers = try (0..<configuration.layers).map { try TransformerLayer($0, loader) }
        finalNorm = try loader.vector("output_norm.weight")
        let untied = file.tensors.contains { $0.name == "output.weight" }
        head = untied ? try loader.linear("output.weight", outputs: configuration.vocabulary) : embedding
    }
}

/// The weights of one transformer layer.
struct TransformerLayer: Sendable {
    let attentionNorm: [Float]
    /// `[queries | keys | values]`.
    let queryKeyValue: LinearWeight
    let attentionOutput: LinearWeight
    let feedForwardNorm: [Float]
    let feedForward: FeedForward

    fileprivate init(_ index: Int, _ loader: WeightLoader) throws {
        let c = loader.configuration, name = "blk.\(index)."
        attentionNorm = try loader.vector(name + "attn_norm.weight")
        queryKeyValue = try loader.linear(
            parts: [
                .init(name: name + "attn_q.weight", outputs: c.heads * c.headDimension, rotaryHead: c.headDimension),
                .init(name: name + "attn_k.weight", outputs: c.kvHeads * c.headDimension, rotaryHead: c.headDimension),
                .init(name: name + "attn_v.weight", outputs: c.kvHeads * c.headDimension),
            ], inputs: c.hidden)
        attentionOutput = try loader.linear(
            parts: [.init(name: name + "attn_output.weight", outputs: c.hidden)], inputs: c.heads * c.headDimension)
        feedForwardNorm = try loader.vector(name + "ffn_norm.weight")
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
