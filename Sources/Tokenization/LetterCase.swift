// SPDX-License-Identifier: Apache-2.0

/// In which of Tekken's two groups of characters a scalar is. Letters without case, and marks, are in both.
struct LetterCase: OptionSet, Sendable {
    let rawValue: UInt8

    /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`.
    static let upper = LetterCase(rawValue: 1)
    /// `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`.
    static let lower = LetterCase(rawValue: 2)

    /// The groups of the scalars below ``ScalarClass/tableSize``; made once and never freed or written again.
    nonisolated(unsafe) static let table: UnsafePointer<LetterCase> = {
        let table = UnsafeMutablePointer<LetterCase>.allocate(capacity: ScalarClass.tableSize)
        for value in 0..<ScalarClass.tableSize {
            (table + value).initialize(to: Unicode.Scalar(UInt32(value)).map { LetterCase($0) } ?? [])
        }
        return UnsafePointer(table)
    }()

    /// The only marks beyond the table: variation selectors.
    private static let laterMarks = 0xe0100...0xe01ef

    /// The groups of a scalar by its value.
    @inline(__always)
    static func of(_ value: Int) -> LetterCase {
        if value < ScalarClass.tableSize { return table[value] }
        return laterMarks.contains(value) ? [.upper, .lower] : []
    }

}

extension LetterCase {
    private init(_ scalar: Unicode.Scalar) {
        let group: LetterCase =
            switch scalar.properties.generalCategory {
            case .uppercaseLetter, .titlecaseLetter: .upper
            case .lowercaseLetter: .lower
            case .modifierLetter, .otherLetter, .nonspacingMark, .spacingMark, .enclosingMark: [.upper, .lower]
            default: []
            }
        self = ScalarClass.isKnown(scalar) ? group : []
    }
}
