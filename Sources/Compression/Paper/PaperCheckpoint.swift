// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kernels
import ModelFiles

/// Compressors in the layout that the paper's authors publish: a folder with `config.json` and safetensors, or one
/// safetensors file.
///
/// For every layer i, `model.layers.{i}.self_attn.compress_down.…` holds f_c and `…compress_up.…` f_d: `weight` (and `bias`)
/// of a linear map; `0.weight`, `0.bias`, `2.weight`, `2.bias` of a GeLU perceptron; `w12.weight`, `w3.weight` (and biases) of a
/// SwiGLU one. Names without a layer serve all layers. Kinds and sizes follow from names and shapes; the configuration must not
/// contradict them.
///
/// Published compressors code keys **before** RoPE and, in models with QK-norm, before that norm too, since they were trained
/// on the outputs of the key projection. Rows here are taken after the norm (``Inference/LayerTap``), whose inverse is lost, so
/// such checkpoints are refused for models that normalise heads; in all others there is no norm and the two are the same.
public enum PaperCheckpoint {
    /// Where the checkpoint that `deltakv calibrate --codec paper` makes for a model lies: in a folder beside it.
    public static func path(forModel path: String) -> String {
        (path.hasSuffix(".gguf") ? String(path.dropLast(5)) : path) + ".paper"
    }

    /// Reads a checkpoint.
    ///
    /// - Parameters:
    ///   - path: A folder or a file.
    ///   - target: The model that it is to serve.
    /// - Returns: The compressors under the settings of the configuration, or the paper's where it names none; latents in int4
    ///   with one group.
    /// - Throws: `GGUFError` for files that cannot be read, ``CompressionError/file(path:reason:)`` for what contradicts
    ///   itself or is not supported, ``CompressionError/otherModel(path:)`` where shapes or weights are another model's.
    public static func load(path: String, for target: PaperTarget) throws -> PaperCompressor {
        let folder = try TensorFolder(path: path)
        let configuration = try PaperConfiguration(folder.configuration, path: path)
        try check(folder, configuration, target)
        let names = try PaperTensorNames(folder.tensors, path: path)
        var layers: [PaperCodec?] = []
        for layer in 0..<target.layers {
            guard let down = try names.map(.down, layer: layer), let up = try names.map(.up, layer: layer) else {
                layers.append(nil)
                continue
            }
            guard down.inputs == target.rowWidth, up.outputs == target.rowWidth else {
                throw CompressionError.otherModel(path: path)
            }
            try configuration.check(down, up, layer: layer)
            layers.append(
                PaperCodec(layer: layer, settings: configuration.settings, compressor: down, decompressor: up))
        }
        guard let width = layers.lazy.compactMap({ $0?.latentWidth }).first else {
            throw CompressionError.file(path: path, reason: "holds no compressor of any layer of this model")
        }
        guard layers.allSatisfy({ $0 == nil || $0?.latentWidth == width }) else {
            throw CompressionError.file(path: path, reason: "has latents of different lengths")
        }
        return PaperCompressor(settings: configuration.settings, layers: layers, latentWidth: width)
    }

    private static func check(
        _ folder: TensorFolder, _ configuration: PaperConfiguration, _ target: PaperTarget
    ) throws(CompressionError) {
        guard !target.normalizesHeads else {
            throw .file(
                path: folder.path,
                reason: "is of the published kind, which codes keys before their heads are normalised; "
                    + "models that normalise heads are not supported: use 'deltakv calibrate' with the codec transform")
        }
        if let layers = configuration.layers, layers != target.layers { throw .otherModel(path: folder.path) }
        if let digest = configuration.modelDigest, digest != target.digest { throw .otherModel(path: folder.path) }
        guard let expected = configuration.tensorsDigest else { return }
        guard folder.files.count == 1, try PaperCheckpointWriter.digest(ofFile: folder.files[0]) == expected else {
            throw .file(
                path: folder.path,
                reason: "is damaged (its checksum differs): make it again with 'deltakv calibrate --codec paper'")
        }
    }
}
