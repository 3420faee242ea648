// SPDX-License-Identifier: Apache-2.0
import CKernels

#if canImport(Glibc)
    import Glibc
#endif

/// The sets of CPU instructions that kernels exist for, least first.
public enum InstructionSet: String, Sendable, CaseIterable, Comparable {
    /// Plain C, the reference.
    case scalar
    /// AVX2 with FMA and F16C.
    case avx2
    /// AVX-512 F, BW, DQ and VL.
    case avx512
    /// The same with VNNI, and products of int8 in the tiles of AMX.
    case amx

    /// The best set that this CPU and operating system support.
    public static let best: InstructionSet =
        switch dkv_detect_isa() {
        case DKV_ISA_AMX: .amx
        case DKV_ISA_AVX512: .avx512
        case DKV_ISA_AVX2: .avx2
        default: .scalar
        }

    /// The sets that this CPU supports, least first.
    public static var supported: [InstructionSet] { allCases.filter { $0 <= best } }

    /// The set to use: what `override` (the value of `DELTAKV_ISA`) names, or the best.
    ///
    /// - Throws: ``KernelError`` if the override is unknown or beyond the CPU.
    public static func choose(override: String?) throws(KernelError) -> InstructionSet {
        guard let name = override, !name.isEmpty else { return best }
        guard let chosen = InstructionSet(rawValue: name.lowercased()) else { throw .unknownInstructionSet(name) }
        guard chosen <= best else { throw .unsupportedInstructionSet(chosen, best: best) }
        return chosen
    }

    /// The set that the environment chooses (see ``choose(override:)``).
    public static func fromEnvironment() throws(KernelError) -> InstructionSet {
        try choose(override: getenv("DELTAKV_ISA").map { String(cString: $0) })
    }

    /// Whether `a` is the older set.
    public static func < (a: InstructionSet, b: InstructionSet) -> Bool { a.code.rawValue < b.code.rawValue }

    var code: dkv_isa {
        switch self {
        case .scalar: DKV_ISA_SCALAR
        case .avx2: DKV_ISA_AVX2
        case .avx512: DKV_ISA_AVX512
        case .amx: DKV_ISA_AMX
        }
    }

    /// The kernels for this set. Only called for sets that ``supported`` lists, for which the build has a table.
    var table: UnsafePointer<dkv_kernels> {
        guard let table = dkv_kernels_for(code) else { preconditionFailure("no kernels for \(rawValue) in this build") }
        return table
    }
}
