// SPDX-License-Identifier: Apache-2.0
import Crypto
import Foundation
import ModelFiles

/// Compressors in files: `DKVCOMPR`, version, SHA-256 of what follows, then the numbers of the compressor, little-endian.
/// Written to a temporary name, synchronised and renamed, so that a file is there whole or not at all.
public enum CompressorFile {
    private static let magic = Array("DKVCOMPR".utf8)
    private static let version: UInt32 = 4
    private static let headerBytes = 8 + 4 + 32

    /// Where the compressor for a model file lies: beside it.
    public static func path(forModel path: String) -> String {
        (path.hasSuffix(".gguf") ? String(path.dropLast(5)) : path) + ".deltakv"
    }

    /// Reads a compressor.
    ///
    /// - Parameter digest: SHA-256 of the model file, in hexadecimal.
    /// - Throws: ``CompressionError/file(path:reason:)`` for what is missing, damaged or of another version,
    ///   ``CompressionError/otherModel(path:)`` if it was made for other weights.
    public static func load(path: String, forModelDigest digest: String) throws(CompressionError) -> Compressor {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw .file(path: path, reason: "cannot be read: check the path, or make one with 'deltakv calibrate'")
        }
        return try load(Array(data), from: path, forModelDigest: digest)
    }

    static func load(
        _ bytes: [UInt8], from path: String, forModelDigest digest: String
    ) throws(CompressionError) -> Compressor {
        guard bytes.count > headerBytes, Array(bytes[..<8]) == magic else {
            throw .file(path: path, reason: "is no compressor file: make one with 'deltakv calibrate'")
        }
        var header = ByteReader(Array(bytes[8..<headerBytes]))
        guard let found = header.take(UInt32.self), found == version else {
            throw .file(path: path, reason: "is of another version: make it again with 'deltakv calibrate'")
        }
        let payload = Array(bytes[headerBytes...])
        guard Array(SHA256.hash(data: payload)) == Array(bytes[12..<headerBytes]) else {
            throw .file(path: path, reason: "is damaged (its checksum differs): make it again with 'deltakv calibrate'")
        }
        guard let parts = parse(payload) else {
            throw .file(path: path, reason: "contradicts itself: make it again with 'deltakv calibrate'")
        }
        guard parts.digest == digest else { throw .otherModel(path: path) }
        return try Compressor(
            modelDigest: parts.digest, settings: parts.settings, tables: parts.tables, parameters: parts.layers,
            observationLayers: parts.observation)
    }

    /// Writes a compressor.
    ///
    /// - Throws: ``CompressionError/file(path:reason:)``.
    public static func save(_ compressor: Compressor, path: String) throws(CompressionError) {
        let payload = serialized(compressor)
        let bytes = signed(payload)
        do {
            let directory = (path as NSString).deletingLastPathComponent
            if !directory.isEmpty {
                try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            }
            try bytes.withUnsafeBytes { try DurableFile.write($0, to: path) }
        } catch let error as DurableFile.Failure {
            throw .file(path: path, reason: "cannot be written: \(error)")
        } catch {
            throw .file(path: path, reason: "cannot be written: \(error.localizedDescription)")
        }
    }

    /// SHA-256, in hexadecimal, of all that decides what a compressor makes of rows.
    public static func digest(of compressor: Compressor) -> String {
        SHA256.hash(data: serialized(compressor)).hexadecimal
    }

    // MARK: Contents

    /// A whole file: magic, version and checksum before the payload.
    static func signed(_ payload: [UInt8]) -> [UInt8] {
        var file = ByteWriter()
        file.put(magic)
        file.put(version)
        file.put(Array(SHA256.hash(data: payload)))
        file.put(payload)
        return file.bytes
    }

    private static func serialized(_ compressor: Compressor) -> [UInt8] {
        var w = ByteWriter()
        let s = compressor.settings, digest = Array(compressor.modelDigest.utf8)
        w.put(UInt32(digest.count))
        w.put(digest)
        for value in [s.sinks, s.stride, s.prototypes, s.rounding] { w.put(UInt32(value)) }
        w.put(s.step)
        w.put(UInt32(compressor.layers.count))
        w.put(UInt32(compressor.columns))
        w.put(UInt32(compressor.observationLayers.count))
        w.put(compressor.observationLayers.map(UInt32.init))
        w.put(compressor.tables.frequencies)
        for layer in compressor.layers {
            let p = layer.parameters
            w.put([UInt32(p.coefficients), UInt32(p.inputs.count)] + p.inputs.map(UInt32.init))
            for values in [p.mean, p.scale, p.sourceMean, p.sourceScale] { w.put(values) }
            for matrix in [p.prediction, p.forward, p.inverse] {
                w.put(matrix.codes)
                w.put(matrix.scales)
            }
            w.put(p.prototypes)
            for mode in [p.rows, p.references] {
                w.put(mode.classes)
                w.put(mode.shifts)
                w.put(mode.thresholds)
            }
        }
        return w.bytes
    }

    private struct Parts {
        let digest: String
        let settings: CodecSettings
        let tables: CodeTables
        let layers: [LayerParameters]
        let observation: [Int]
    }

    private static func parse(_ payload: [UInt8]) -> Parts? {
        var r = ByteReader(payload)
        guard let digestLength = r.take(UInt32.self), digestLength <= 128,
            let digest = r.take(Int(digestLength), UInt8.self), let sinks = r.take(UInt32.self),
            let stride = r.take(UInt32.self), let prototypes = r.take(UInt32.self), let rounding = r.take(UInt32.self),
            let step = r.take(Float.self), let layerCount = r.take(UInt32.self), layerCount <= 1024,
            let columns = r.take(UInt32.self), columns <= 16000, let observers = r.take(UInt32.self),
            observers <= layerCount, let observation = r.take(Int(observers), UInt32.self),
            observation.allSatisfy({ $0 < layerCount }),
            let frequencies = r.take(CodeTables.classes * CodeTables.symbols, UInt16.self),
            let tables = CodeTables(frequencies: frequencies)
        else { return nil }
        let settings = CodecSettings(
            sinks: Int(sinks), stride: Int(stride), prototypes: Int(prototypes), step: step, rounding: Int(rounding))
        guard settings.isValid else { return nil }
        var layers: [LayerParameters] = []
        for _ in 0..<layerCount {
            guard let layer = parseLayer(&r, columns: Int(columns), settings) else { return nil }
            layers.append(layer)
        }
        guard r.isAtEnd else { return nil }
        return Parts(
            digest: String(decoding: digest, as: UTF8.self), settings: settings, tables: tables, layers: layers,
            observation: observation.map(Int.init))
    }

    private static func parseLayer(
        _ r: inout ByteReader, columns: Int, _ settings: CodecSettings
    ) -> LayerParameters? {
        guard let coefficients = r.take(UInt32.self).map(Int.init), coefficients <= columns,
            let count = r.take(UInt32.self).map(Int.init), count <= 2 * LayerParameters.mostSources,
            let inputs = r.take(count, UInt32.self)?.map(Int.init),
            inputs.allSatisfy({ $0 < 2 * LayerParameters.mostSources })
        else { return nil }
        let sources = inputs.last.map { $0 / 2 + 1 } ?? 0
        func matrix(_ rows: Int, _ columns: Int) -> EightBitMatrix? {
            guard let codes = r.take(rows * columns, Int8.self), let scales = r.take(rows, Float.self) else {
                return nil
            }
            return EightBitMatrix(rows: rows, columns: columns, codes: codes, scales: scales)
        }
        func mode() -> LayerParameters.Mode? {
            guard let classes = r.take(coefficients, UInt8.self), let shifts = r.take(2 * coefficients, Int8.self),
                let thresholds = r.take(7, UInt32.self)
            else { return nil }
            return LayerParameters.Mode(classes: classes, shifts: shifts, thresholds: thresholds)
        }
        guard let mean = r.take(columns, Float.self), let scale = r.take(columns, Float.self),
            let sourceMean = r.take(sources * columns, Float.self),
            let sourceScale = r.take(sources * columns, Float.self),
            let prediction = matrix(inputs.isEmpty ? 0 : columns, inputs.count * columns / 2),
            let forward = matrix(coefficients, columns), let inverse = matrix(columns, coefficients),
            let prototypes = r.take(settings.prototypes * coefficients, Int8.self), let rows = mode(),
            let references = mode()
        else { return nil }
        return LayerParameters(
            columns: columns, coefficients: coefficients, mean: mean, scale: scale, sourceMean: sourceMean,
            sourceScale: sourceScale, inputs: inputs, prediction: prediction, forward: forward, inverse: inverse,
            prototypes: prototypes, rows: rows, references: references)
    }
}
