// SPDX-License-Identifier: Apache-2.0
import Crypto
import Foundation
import ModelFiles

/// Writes linear compressors in the published layout, with the digests of the model and of the tensors besides.
enum PaperCheckpointWriter {
    /// One layer's linear maps.
    struct Layer {
        /// f_c, [latent][columns].
        let down: [Float]
        /// f_d, [columns][latent].
        let up: [Float]
    }

    /// The published names, in camel case.
    private struct Configuration: Encodable {
        let kvCompressedSize: Int
        let useNonlinearCompressor = false
        let compressorLinearBias = false
        let compressorDownType = "linear"
        let compressorUpType = "linear"
        let splitKv = false
        let kNeighbors: Int
        let clusterRatio: Double
        let clusterMetric = "l2"
        let clusterOnKv = true
        let collectKvBeforeRope = true
        let reconMode = "delta_in_latent"
        let refMode = "avg"
        let numHiddenLayers: Int
        let deltakvModelSha256: String
        let deltakvTensorsSha256: String
    }

    /// Puts a folder in place, its configuration last: without it, or with another's digest, nothing is read.
    static func save(
        _ layers: [Layer], columns: Int, latent: Int, settings: PaperSettings, modelDigest: String, path: String
    ) throws(CompressionError) {
        let tensors = layers.enumerated().flatMap { index, layer in
            let prefix = "model.layers.\(index).self_attn."
            return [
                SafetensorsWriter.Tensor(
                    name: prefix + "compress_down.weight", shape: [latent, columns], values: layer.down),
                SafetensorsWriter.Tensor(
                    name: prefix + "compress_up.weight", shape: [columns, latent], values: layer.up),
            ]
        }
        do {
            let data = try SafetensorsWriter.bytes(tensors), encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
            encoder.keyEncodingStrategy = .convertToSnakeCase
            let configuration = try encoder.encode(
                Configuration(
                    kvCompressedSize: latent, kNeighbors: settings.neighbours,
                    clusterRatio: 1 / Double(settings.stride), numHiddenLayers: layers.count,
                    deltakvModelSha256: modelDigest, deltakvTensorsSha256: hexadecimal(SHA256.hash(data: data))))
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            try data.withUnsafeBytes { try DurableFile.write($0, to: path + "/model.safetensors") }
            try configuration.withUnsafeBytes { try DurableFile.write($0, to: path + "/config.json") }
        } catch let error as DurableFile.Failure {
            throw .file(path: path, reason: "cannot be written: \(error)")
        } catch {
            throw .file(path: path, reason: "cannot be written: \(error.localizedDescription)")
        }
    }

    static func digest(ofFile path: String) throws(CompressionError) -> String {
        guard let data = try? Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe) else {
            throw .file(path: path, reason: "cannot be read: check the path")
        }
        return hexadecimal(SHA256.hash(data: data))
    }

    private static func hexadecimal(_ digest: SHA256.Digest) -> String {
        digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
