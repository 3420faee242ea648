// SPDX-License-Identifier: Apache-2.0
import ModelFiles

/// How a model's files call its tensors. Everything else uses GGUF's names.
enum TensorNames {
    case gguf
    case huggingFace

    init(_ model: ModelFile) {
        switch model {
        case .gguf: self = .gguf
        case .folder: self = .huggingFace
        }
    }

    /// The name in the files of the tensor that GGUF calls `name`.
    func original(_ name: String) -> String {
        guard self == .huggingFace else { return name }
        let fields = name.split(separator: ".", maxSplits: 2)
        if fields.count == 3, fields[0] == "blk", let dot = fields[2].lastIndex(of: "."),
            let part = Self.layerParts[String(fields[2][..<dot])]
        {
            return "model.layers.\(fields[1]).\(part)\(fields[2][dot...])"
        }
        return Self.globals[name] ?? name
    }

    /// Whether a tensor says nothing that the configuration does not say: older checkpoints keep their rotary frequencies.
    func isRedundant(_ original: String) -> Bool {
        self == .huggingFace && original.hasSuffix(".rotary_emb.inv_freq")
    }

    private static let globals = [
        "token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
        "output.weight": "lm_head.weight",
    ]

    private static let layerParts = [
        "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
        "attn_k_norm": "self_attn.k_norm", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    ]
}
