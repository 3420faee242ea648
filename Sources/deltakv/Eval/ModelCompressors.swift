// SPDX-License-Identifier: Apache-2.0

import Compression
import Foundation
import Inference
import ModelFiles

/// The compressors of a model: those beside it, or others made for it.
struct ModelCompressors {
    /// The model's file.
    let path: String

    /// A compressor of the transform codec.
    func transform(_ file: String?) throws -> Compressor {
        try CompressorFile.load(path: file ?? CompressorFile.path(forModel: path), forModelDigest: digest())
    }

    /// Compressors of the paper's kind.
    func paper(_ file: String?, _ c: ModelConfiguration) throws -> PaperCompressor {
        let target = PaperTarget(
            layers: c.layers, rowWidth: 2 * c.kvHeads * c.headDimension,
            normalizesHeads: c.architecture.normalizesHeads, digest: try digest())
        return try PaperCheckpoint.load(path: file ?? PaperCheckpoint.path(forModel: path), for: target)
    }

    /// The policies that the compressors beside the model, or a named one, make possible.
    func policies(named file: String?) -> [String] {
        let manager = FileManager.default
        return
            (manager.fileExists(atPath: file ?? CompressorFile.path(forModel: path))
            ? ["deltakv", "deltakv-file", "deltakv-sparse-50%"] : [])
            + (manager.fileExists(atPath: PaperCheckpoint.path(forModel: path)) ? ["paper", "paper-all"] : [])
    }

    private func digest() throws -> String { try ModelFile(path: path).digest() }
}
