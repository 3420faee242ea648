// SPDX-License-Identifier: Apache-2.0

/// The policies by the names that users give them.
public struct PolicyCatalogue: Sendable {
    /// What is compared unless something else is asked for.
    public static let defaultNames = ["f16", "int8", "kivi-int4", "kivi-int2"]

    /// The names that exist, for help and errors.
    public static let summary = "f16, int8, kivi-int4, kivi-int2"

    /// The policy of a name.
    ///
    /// - Throws: ``EvaluationError/unknownPolicy(_:)``.
    public static func policy(named name: String) throws(EvaluationError) -> any CachePolicy {
        switch name {
        case "f16": return HalfPolicy()
        case "int8": return Int8Policy()
        case "kivi-int4": return KIVIPolicy(bits: 4)
        case "kivi-int2": return KIVIPolicy(bits: 2)
        default: throw .unknownPolicy(name)
        }
    }
}
