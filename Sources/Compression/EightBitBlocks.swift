// SPDX-License-Identifier: Apache-2.0
import CCompression

/// Matrices as int8 in blocks of 32 with a half-precision scale: GGUF's Q8_0, which ``QuantizedMatrix`` multiplies.
enum EightBitBlocks {
    static let length = 32
    static let bytes = 34

    /// The blocks of a row-major matrix of `columns`, a multiple of 32, columns.
    static func encode(_ values: [Double], columns: Int) -> [UInt8] {
        precondition(columns % length == 0 && values.count % columns == 0, "shapes do not fit")
        var blocks: [UInt8] = []
        blocks.reserveCapacity(values.count / length * bytes)
        for start in stride(from: 0, to: values.count, by: length) {
            let block = values[start..<start + length]
            let greatest = block.reduce(0) { max($0, abs($1)) }
            let half = dkv_to_half(Float(greatest / 127))
            let scale = Double(dkv_from_half(half))
            blocks.append(UInt8(half & 0xff))
            blocks.append(UInt8(half >> 8))
            for value in block {
                let code = scale > 0 ? (value / scale).rounded(.toNearestOrEven) : 0
                blocks.append(UInt8(bitPattern: Int8(max(-127, min(127, code)))))
            }
        }
        return blocks
    }
}
