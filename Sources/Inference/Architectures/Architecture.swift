// SPDX-License-Identifier: Apache-2.0

/// How a family of decoders differs from the others. The forward pass is one; a family is a value of this type in a file of
/// its own, listed in ``all``.
public struct Architecture: Sendable, Equatable {
    /// The name in `general.architecture`, with which the file's keys begin.
    public let name: String
    /// What `model_type` in `config.json` of a Hugging Face folder may say.
    let modelTypes: Set<String>
    /// Whether GGUF stores rows of queries and keys for rotary pairs (2i, 2i + 1) rather than for (i, i + d / 2).
    let storesRotaryPairs: Bool
    /// Whether queries, keys and values have biases.
    var hasBiases = false
    /// Whether heads of queries and keys are RMS-normalised before rotation.
    public var normalizesHeads = false

    /// What can be run.
    public static let all: [Architecture] = [.llama, .qwen2, .qwen3]

    /// The tensors of a layer beside those that every family has.
    var extraTensors: Set<String> {
        Set(hasBiases ? ["attn_q.bias", "attn_k.bias", "attn_v.bias"] : [])
            .union(normalizesHeads ? ["attn_q_norm.weight", "attn_k_norm.weight"] : [])
    }
}
