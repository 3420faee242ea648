// SPDX-License-Identifier: Apache-2.0

/// Why quantised weights cannot be used.
public enum QuantizedError: Error, Equatable, CustomStringConvertible {
    /// The matrix has no rows, or a row is not a whole number of blocks.
    case invalidShape(rows: Int, columns: Int)
    /// The weights of a row are not as many bytes as its blocks take.
    case wrongByteCount(row: Int, expected: Int, found: Int)
    /// A block's scale or minimum is infinite or not a number.
    case nonFiniteScale(row: Int, block: Int)
    /// The memory for it was refused.
    case kernel(KernelError)

    /// A sentence for people: what is wrong, where, and what to do.
    public var description: String {
        switch self {
        case .invalidShape(let rows, let columns):
            "A quantised matrix of \(rows) × \(columns) cannot be: it needs rows, and columns in blocks of "
                + "\(QuantizedType.blockLength); check the model file."
        case .wrongByteCount(let row, let expected, let found):
            "Row \(row) of a quantised matrix has \(found) bytes where its blocks take \(expected); "
                + "check the model file."
        case .nonFiniteScale(let row, let block):
            "Block \(block) of row \(row) of a quantised matrix has a scale or minimum that is not finite; "
                + "the model file is damaged, fetch it again."
        case .kernel(let error): error.description
        }
    }
}
