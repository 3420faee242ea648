// SPDX-License-Identifier: Apache-2.0

/// Why the compute layer cannot do what was asked of it.
public enum KernelError: Error, Equatable, CustomStringConvertible {
    /// `DELTAKV_ISA` holds a word that names no instruction set.
    case unknownInstructionSet(String)
    /// `DELTAKV_ISA` asks for more than this CPU can do.
    case unsupportedInstructionSet(InstructionSet, best: InstructionSet)
    /// The operating system refused memory: bytes asked for and its error number.
    case outOfMemory(bytes: Int, code: Int32)
    /// The operating system refused threads.
    case noThreads(Int)
    /// OpenBLAS is missing or does not work; the text says why.
    case openBLAS(String)

    /// What is wrong and what to do next, in a sentence.
    public var description: String {
        switch self {
        case .unknownInstructionSet(let name):
            """
            DELTAKV_ISA is "\(name)", which is none of \(InstructionSet.allCases.map(\.rawValue).joined(separator: ", ")); \
            unset it to use the best this CPU has.
            """
        case .unsupportedInstructionSet(let asked, let best):
            "DELTAKV_ISA asks for \(asked.rawValue), but this CPU supports at most \(best.rawValue); unset it or lower it."
        case .outOfMemory(let bytes, let code):
            "The operating system refused \(bytes) bytes of memory (errno \(code)); free some or configure a smaller cache."
        case .noThreads(let count):
            "The operating system refused to start \(count) compute threads; raise the process limit or use fewer."
        case .openBLAS(let reason):
            "OpenBLAS cannot be used: \(reason). Install the package libopenblas0 (Debian) or its like."
        }
    }
}
