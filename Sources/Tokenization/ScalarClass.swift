// SPDX-License-Identifier: Apache-2.0

/// The kinds of characters that pre-tokenizers tell apart.
enum ScalarClass: UInt8 {
    /// None of the others: `[^\s\p{L}\p{N}]`.
    case other = 0
    /// `\p{L}`.
    case letter
    /// `\p{N}`.
    case number
    /// `\s`, the White_Space property.
    case space

    /// Classes by scalar value. Beyond this there are no letters, numbers or spaces.
    static let tableSize = 0x40000

    /// The classes of the scalars below ``tableSize``.
    ///
    /// Made once and never freed or written again, so that it is read without counting references.
    nonisolated(unsafe) static let table: UnsafePointer<ScalarClass> = {
        let table = UnsafeMutablePointer<ScalarClass>.allocate(capacity: tableSize)
        for value in 0..<tableSize {
            (table + value).initialize(to: Unicode.Scalar(UInt32(value)).map(Self.init) ?? .other)
        }
        return UnsafePointer(table)
    }()

    /// Characters newer than Unicode 16 count as `other`, as in the regular-expression engine of the reference tokenizer,
    /// so that a newer toolchain does not change how text is split.
    private static let newestUnicode = 16

    private init(_ scalar: Unicode.Scalar) {
        let properties = scalar.properties
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: self = .letter
        case .decimalNumber, .letterNumber, .otherNumber: self = .number
        default:
            self = properties.isWhitespace ? .space : .other
            return
        }
        if !Self.isKnown(scalar) { self = .other }
    }

    /// Whether the reference tokenizer's engine knows the character.
    static func isKnown(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.age.map { $0.major <= newestUnicode } ?? false
    }
}
