// SPDX-License-Identifier: Apache-2.0
import ModelFiles

/// What a checkpoint's `config.json` says about its compressors. Every field may be missing; what is there must be supported
/// and must agree with the tensors.
struct PaperConfiguration {
    /// Neighbours and stride as trained, the paper's where they are not named.
    let settings: PaperSettings
    /// Layers of the base model.
    let layers: Int?
    /// SHA-256 of the model file, which our own checkpoints name.
    let modelDigest: String?
    /// SHA-256 of the tensors' file, which our own checkpoints name.
    let tensorsDigest: String?
    private let path: String
    private let json: JSONValue?

    init(_ json: JSONValue?, path: String) throws(CompressionError) {
        self.json = json
        self.path = path
        layers = json?["num_hidden_layers"]?.int
        modelDigest = json?["deltakv_model_sha256"]?.text
        tensorsDigest = json?["deltakv_tensors_sha256"]?.text
        var settings = PaperSettings()
        for name in ["deltakv_neighbor_count", "k_neighbors", "seq_chunk_size"] {
            guard let value = json?[name]?.int else { continue }
            settings.neighbours = value
            break
        }
        if let ratio = json?["cluster_ratio"]?.double {
            guard ratio > 0, ratio <= 1, 1 / ratio <= 65536 else {
                throw .file(path: path, reason: "has a cluster_ratio of \(ratio), which is not between 0 and 1")
            }
            // The published rule is the whole part; 1 / (1 / n) may come out just below n.
            settings.stride = Int(1 / ratio + 1e-9)
        }
        guard settings.isValid else {
            throw .file(path: path, reason: "asks for \(settings.neighbours) neighbours, not for 1 to 64")
        }
        self.settings = settings
        try checkSupport()
    }

    /// Refuses what changes the codec's meaning and is not implemented, instead of computing something else.
    private func checkSupport() throws(CompressionError) {
        for (name, wanted) in [
            ("split_kv", false), ("cluster_soft_assignment", false), ("cluster_on_kv", true),
            ("collect_kv_before_rope", true),
        ] {
            guard let value = json?[name]?.bool else { continue }
            guard value == wanted else { throw refused(name, "\(value)", supported: "\(wanted)") }
        }
        for (name, wanted) in [("cluster_metric", "l2"), ("recon_mode", "delta_in_latent"), ("ref_mode", "avg")] {
            guard let value = json?[name]?.text else { continue }
            guard value == wanted else { throw refused(name, value, supported: wanted) }
        }
    }

    private func refused(_ name: String, _ value: String, supported: String) -> CompressionError {
        .file(path: path, reason: "was trained with \(name) = \(value), but only \(supported) is supported")
    }

    /// Compares a layer's maps with what is said about them.
    func check(_ down: PaperMap, _ up: PaperMap, layer: Int) throws(CompressionError) {
        func disagree(_ name: String, _ value: String, _ found: String) -> CompressionError {
            .file(path: path, reason: "says \(name) = \(value), but layer \(layer) has \(found)")
        }
        guard up.inputs == down.outputs else {
            throw .file(path: path, reason: "has maps in layer \(layer) whose latents differ in length")
        }
        if let size = json?["kv_compressed_size"]?.int, size != down.outputs {
            throw disagree("kv_compressed_size", "\(size)", "latents of \(down.outputs)")
        }
        for (prefix, map) in [("compressor_down", down), ("compressor_up", up)] {
            if let form = try form(prefix + "_type"), form != map.form {
                throw disagree(prefix + "_type", form.rawValue, "a \(map.form.rawValue)")
            }
            guard map.form != .linear, let size = json?[prefix + "_intermediate_size"]?.int, size > 0 else { continue }
            guard size == map.hidden else {
                throw disagree(prefix + "_intermediate_size", "\(size)", "\(map.hidden) hidden elements")
            }
        }
    }

    /// `auto` and a missing type say nothing: names and shapes of the tensors do.
    private func form(_ name: String) throws(CompressionError) -> PaperMap.Form? {
        guard let value = json?[name]?.text, value != "auto" else { return nil }
        let aliases = ["mlp": "mlp_gelu", "gelu": "mlp_gelu", "swiglu": "mlp_swiglu"]
        guard let form = PaperMap.Form(rawValue: aliases[value] ?? value) else {
            throw .file(path: path, reason: "has an unknown \(name) \(value)")
        }
        return form
    }
}
