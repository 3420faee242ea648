// SPDX-License-Identifier: Apache-2.0
import CKernels

// The format's own names carry underscores.
// swift-format-ignore: AlwaysUseLowerCamelCase
/// The block types of GGUF that ``QuantizedMatrix`` multiplies without turning them into floats. A block is 32 values
/// of a row: a scale d in f16, a minimum m in f16 (Q4_1 and Q5_1), and codes c. Raw values are the format's type ids.
public enum QuantizedType: UInt32, CaseIterable, Sendable {
    /// 4 bits, (c − 8) · d.
    case q4_0 = 2
    /// 4 bits, c · d + m.
    case q4_1 = 3
    /// 5 bits, (c − 16) · d.
    case q5_0 = 6
    /// 5 bits, c · d + m.
    case q5_1 = 7
    /// 8 bits, signed, c · d.
    case q8_0 = 8

    /// Values of a block.
    public static let blockLength = Int(DKV_QUANTIZED_BLOCK)

    /// Bytes of a block in a GGUF file.
    public var blockBytes: Int { dkv_quantized_block_bytes(code) }

    var code: dkv_quantized_type { dkv_quantized_type(rawValue: rawValue) }
}
