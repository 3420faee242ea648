// SPDX-License-Identifier: Apache-2.0
import Compression
import Kernels

/// What of the paper's codec is varied (arXiv 2602.08005).
public struct PaperVariant: Sendable, Equatable {
    /// Whether all layers are compressed; else observation layers stay in f16, as in the paper.
    public var compressesAll = false
    /// How latents are kept.
    public var latents = LatentForm.int4(group: nil)
    /// References' distance, if it is not the compressor's.
    public var stride: Int?
    /// References averaged, if not as many as the compressor was made for.
    public var neighbours: Int?

    /// The paper's choice: observation layers exact, one scale for a latent.
    public init() {}

    /// The variant of words after `paper`: `all`, `f16` or `g32` (latents in half precision, or int4 in groups of 32), `sN`, `kN`.
    /// Nil for other words.
    init?(words: some Sequence<Substring>) {
        for word in words {
            let number = Int(word.dropFirst()) ?? 0
            switch (word, word.first) {
            case ("all", _): compressesAll = true
            case ("f16", _): latents = .half
            case (_, "g") where number > 0 && number % 2 == 0: latents = .int4(group: number)
            case (_, "s") where (1...65536).contains(number): stride = number
            case (_, "k") where (1...64).contains(number): neighbours = number
            default: return nil
            }
        }
    }
}

/// The paper's codec; the most recent tokens stay in f16. Every latent is decoded, whatever is attended to.
public struct PaperPolicy: CachePolicy {
    /// Such as `paper-all`.
    public let name: String
    private let compressor: PaperCompressor
    private let variant: PaperVariant
    private let threads: ThreadPool
    private let ends = ExactEnds()

    /// The policy of a compressor.
    public init(_ compressor: PaperCompressor, name: String, variant: PaperVariant = .init(), threads: ThreadPool) {
        var settings = compressor.settings
        settings.latents = variant.latents
        settings.stride = variant.stride ?? settings.stride
        settings.neighbours = variant.neighbours ?? settings.neighbours
        self.compressor = compressor.with(settings)
        self.name = name
        self.variant = variant
        self.threads = threads
    }

    /// Codes layers up to the recent tokens.
    ///
    /// - Throws: `CompressionError`, `KernelError`.
    public func compress(_ history: History) throws -> CompressedHistory {
        let shape = history.shape, coded = max(0, history.count - ends.recent)
        let codecs = try codecs(for: shape)
        let layers = try LayerWork.map(layers: shape.layers, on: threads) { layer, compute in
            var rows = PaperRows()
            try codecs[layer]?.encode(
                history.rows(layer: layer).first(coded), appendingTo: &rows, with: compute)
            return rows
        }
        let layerBytes = shape.exactBytes(tokens: 1) / shape.layers
        let bytes = layers.indices.reduce(0) { sum, layer in
            let exact = codecs[layer] == nil ? history.count : history.count - coded
            return sum + exact * layerBytes + layers[layer].byteCount
        }
        return CompressedHistory(bytes: CacheBytes(memory: bytes)) { layer, rows in
            let exact = codecs[layer] == nil ? 0 : coded
            for row in exact..<rows.rows { Rounding.toHalf(rows[row: row]) }
            do {
                try codecs[layer]?.decode(
                    0..<coded, of: layers[layer], into: rows.first(coded), with: Compute(pool: ThreadPool(threads: 1)))
            } catch {
                preconditionFailure("rows that were just coded do not decode: \(error)")
            }
        }
    }

    /// The codecs in use; nil for layers that stay exact.
    private func codecs(for shape: CacheShape) throws(EvaluationError) -> [PaperCodec?] {
        let exact = variant.compressesAll ? [] : OmniKVPolicy.defaultLayers(of: shape.layers)
        var codecs: [PaperCodec?] = []
        for layer in 0..<shape.layers {
            guard !exact.contains(layer) else {
                codecs.append(nil)
                continue
            }
            guard let codec = compressor.layers.dropFirst(layer).first ?? nil, codec.columns == shape.rowWidth else {
                throw .unfitCompressor(policy: name, layer: layer)
            }
            codecs.append(codec)
        }
        return codecs
    }
}
