// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Compression
import Service

extension CalibrateCommand {
    private struct PaperRow: Encodable {
        let layer: Int
        let heldShare: Double
    }

    /// Makes linear compressors of the paper's kind.
    func calibratePaper(_ loaded: LoadedModel, digest: String, modelPath: String, _ texts: [[Int32]]) throws {
        let c = loaded.model.configuration, columns = 2 * c.kvHeads * c.headDimension
        guard (latent ?? 1) <= columns else {
            throw ValidationError("--latent must be at most \(columns), the elements of a row")
        }
        let calibration = PaperCalibration(
            model: loaded.model, modelDigest: digest, settings: PaperSettings(stride: stride), latentWidth: latent,
            threads: loaded.threads)
        let path = output ?? PaperCheckpoint.path(forModel: modelPath)
        var bar = CalibrationBar()
        let reports = try calibration.run(texts, writingTo: path) { bar.show($0) }
        bar.finish()
        for report in reports {
            if json {
                try printJSON(PaperRow(layer: report.layer, heldShare: report.heldShare))
            } else {
                print("layer \(report.layer): latents hold \(percent(report.heldShare)) of what references leave")
            }
        }
        if !json { print("Wrote \(path).") }
    }
}
