// SPDX-License-Identifier: Apache-2.0
import Compression

/// The policies by the names that users give them.
public struct PolicyCatalogue: Sendable {
    /// What is compared unless something else is asked for.
    public static let defaultNames = [
        "f16", "int8", "kivi-int4", "kivi-int2", "streaming-1024", "snapkv-1024", "quest-512", "omnikv-512",
    ]

    /// The names that exist, for help and errors.
    public static let summary =
        "f16, int8, kivi-int4, kivi-int2, streaming-N, snapkv-N (N tokens kept), quest-N, omnikv-N (N tokens read)"

    /// The policy of a name.
    ///
    /// - Throws: ``EvaluationError/unknownPolicy(_:)``.
    public static func policy(
        named name: String, compressor: Compressor? = nil
    ) throws(EvaluationError) -> any CachePolicy {
        switch name {
        case "deltakv":
            guard let compressor else { throw .unknownPolicy(name) }
            return DeltaKVPolicy(compressor)
        case "f16": return HalfPolicy()
        case "int8": return Int8Policy()
        case "kivi-int4": return KIVIPolicy(bits: 4)
        case "kivi-int2": return KIVIPolicy(bits: 2)
        default: break
        }
        let parts = name.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let budget = Int(parts[1]), budget > 0 else { throw .unknownPolicy(name) }
        switch parts[0] {
        case "streaming": return StreamingPolicy(budget: budget)
        case "snapkv": return SnapKVPolicy(budget: budget)
        case "quest": return QuestPolicy(budget: budget)
        case "omnikv": return OmniKVPolicy(budget: budget)
        default: throw .unknownPolicy(name)
        }
    }
}
