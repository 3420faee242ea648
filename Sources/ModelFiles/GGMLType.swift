// SPDX-License-Identifier: Apache-2.0

// The format's own names carry underscores.
// swift-format-ignore: AlwaysUseLowerCamelCase
/// How the values of a tensor are stored. Raw values are the type ids of the GGUF format.
public enum GGMLType: UInt32, CaseIterable, Sendable {
    case f32 = 0
    case f16 = 1
    case q4_0 = 2
    case q4_1 = 3
    case q5_0 = 6
    case q5_1 = 7
    case q8_0 = 8
    case q8_1 = 9
    case q2_K = 10
    case q3_K = 11
    case q4_K = 12
    case q5_K = 13
    case q6_K = 14
    case q8_K = 15
    case iq2_XXS = 16
    case iq2_XS = 17
    case iq3_XXS = 18
    case iq1_S = 19
    case iq4_NL = 20
    case iq3_S = 21
    case iq2_S = 22
    case iq4_XS = 23
    case i8 = 24
    case i16 = 25
    case i32 = 26
    case i64 = 27
    case f64 = 28
    case iq1_M = 29
    case bf16 = 30
    case tq1_0 = 34
    case tq2_0 = 35
    case mxfp4 = 39
    case nvfp4 = 40
    case q1_0 = 41

    /// The types that ``GGUFTensor/dequantize(into:)`` can read.
    public static let readable: [GGMLType] = [
        .f32, .f16, .bf16, .q8_0, .q4_0, .q4_1, .q5_0, .q5_1, .q2_K, .q3_K, .q4_K, .q5_K, .q6_K,
    ]

    /// The name of the type in capitals, such as `Q4_1`.
    public var name: String { "\(self)".uppercased() }

    /// Values in one block; the rows of a tensor hold whole blocks.
    public var blockLength: Int { layout.values }

    /// Bytes of one block.
    public var blockBytes: Int { layout.bytes }

    /// Values and bytes of a block, from the sizes of the block's fields: scales, packed high bits, packed low bits.
    private var layout: (values: Int, bytes: Int) {
        switch self {
        case .f32, .i32: (1, 4)
        case .f16, .bf16, .i16: (1, 2)
        case .f64, .i64: (1, 8)
        case .i8: (1, 1)
        case .q4_0, .iq4_NL: (32, 2 + 16)
        case .q4_1: (32, 4 + 16)
        case .q5_0: (32, 2 + 4 + 16)
        case .q5_1: (32, 4 + 4 + 16)
        case .q8_0: (32, 2 + 32)
        case .q8_1: (32, 8 + 32)
        case .mxfp4: (32, 1 + 16)
        case .nvfp4: (64, 4 + 32)
        case .q1_0: (128, 2 + 16)
        case .q2_K: (256, 4 + 16 + 64)
        case .q3_K: (256, 2 + 12 + 32 + 64)
        case .q4_K: (256, 4 + 12 + 128)
        case .q5_K: (256, 4 + 12 + 32 + 128)
        case .q6_K: (256, 2 + 16 + 64 + 128)
        case .q8_K: (256, 4 + 256 + 32)
        case .iq2_XXS: (256, 2 + 64)
        case .iq2_XS: (256, 2 + 64 + 8)
        case .iq2_S: (256, 2 + 64 + 16)
        case .iq3_XXS: (256, 2 + 64 + 32)
        case .iq3_S: (256, 2 + 64 + 32 + 8 + 4)
        case .iq1_S: (256, 2 + 32 + 16)
        case .iq1_M: (256, 32 + 16 + 8)
        case .iq4_XS: (256, 4 + 4 + 128)
        case .tq1_0: (256, 2 + 52)
        case .tq2_0: (256, 2 + 64)
        }
    }
}
