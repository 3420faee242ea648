// SPDX-License-Identifier: Apache-2.0
import Compression
import Foundation
import Kernels

/// Makes policies of what users choose.
public struct PolicyCatalogue {
    /// What is compared unless something else is asked for, besides the compressors that the model has.
    public static let defaultNames = [
        "f16", "int8", "kivi-int4", "kivi-int2", "streaming-1024", "snapkv-1024", "quest-512", "omnikv-512",
        "sparse-50%",
    ]

    private let threads: ThreadPool
    private let compressor: (String?) throws -> Compressor
    private let paperCompressor: (String?) throws -> PaperCompressor
    private let localHeads: () throws -> [[Bool]]

    /// A catalogue that loads compressors by file, or the model's own for nil.
    ///
    /// - Parameter localHeads: Those of the model, [layer][KV head], asked for by policies of sparse attention.
    public init(
        threads: ThreadPool, compressor: @escaping (String?) throws -> Compressor,
        paperCompressor: @escaping (String?) throws -> PaperCompressor,
        localHeads: @escaping () throws -> [[Bool]] = { [] }
    ) {
        self.threads = threads
        self.compressor = compressor
        self.paperCompressor = paperCompressor
        self.localHeads = localHeads
    }

    /// The policy of a name.
    ///
    /// - Throws: ``EvaluationError/unknownPolicy(_:)``, or why a compressor cannot be loaded.
    public func policy(named name: String) throws -> any CachePolicy {
        switch try PolicyChoice(name) {
        case .half: return HalfPolicy()
        case .int8: return Int8Policy()
        case .kivi(let bits): return KIVIPolicy(bits: bits)
        case .streaming(let budget): return StreamingPolicy(budget: budget)
        case .snapKV(let budget): return SnapKVPolicy(budget: budget)
        case .quest(let budget): return QuestPolicy(budget: budget)
        case .omniKV(let budget): return OmniKVPolicy(budget: budget)
        case .sparse(let percent): return SparsePolicy(percent: percent, local: try localHeads())
        case .sparseDeltaKV(let percent, let file):
            let codec = DeltaKVPolicy(try compressor(file), form: .file, threads: threads)
            return SparsePolicy(
                percent: percent, local: try localHeads(), codec: codec, name: Self.shown(name, file))
        case .deltaKV(let form, let file):
            return DeltaKVPolicy(try compressor(file), name: Self.shown(name, file), form: form, threads: threads)
        case .paper(let variant, let file):
            return PaperPolicy(
                try paperCompressor(file), name: Self.shown(name, file), variant: variant, threads: threads)
        }
    }

    /// A name with the last part of its file only, without the ending.
    static func shown(_ name: String, _ file: String?) -> String {
        guard let file else { return name }
        let last = (file as NSString).lastPathComponent
        return name.dropLast(file.count) + (last as NSString).deletingPathExtension
    }
}
