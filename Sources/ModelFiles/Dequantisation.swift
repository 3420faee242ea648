// SPDX-License-Identifier: Apache-2.0

// The format's own names carry underscores.
// swift-format-ignore: AlwaysUseLowerCamelCase
/// Turns blocks of GGML's storage types into floats. Callers have checked the sizes; nothing here is checked again.
///
/// Products and sums are rounded separately (never fused), as the reference does, so that results agree to the bit.
enum Dequantisation {
    static func f32(_ input: UnsafeRawPointer, count: Int, into output: UnsafeMutablePointer<Float>) {
        UnsafeMutableRawPointer(output).copyMemory(from: input, byteCount: count * 4)
    }

    static func f16(_ input: UnsafeRawPointer, count: Int, into output: UnsafeMutablePointer<Float>) {
        for index in 0..<count { output[index] = half(input, index * 2) }
    }

    /// The upper 16 bits of floats.
    static func bf16(_ input: UnsafeRawPointer, count: Int, into output: UnsafeMutablePointer<Float>) {
        for index in 0..<count {
            let bits = UInt16(littleEndian: input.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
            output[index] = Float(bitPattern: UInt32(bits) << 16)
        }
    }

    /// Block: one half scale d, then 32 signed bytes q; the value is q · d.
    static func q8_0(_ input: UnsafeRawPointer, blocks: Int, into output: UnsafeMutablePointer<Float>) {
        for block in 0..<blocks {
            let source = input + block * 34
            let target = output + block * 32
            let scale = half(source, 0)
            let values = (source + 2).assumingMemoryBound(to: Int8.self)
            for index in 0..<32 { target[index] = Float(values[index]) * scale }
        }
    }

    /// Block: one half scale d, then 16 bytes; the low nibbles are values 0…15, the high nibbles 16…31; (q − 8) · d.
    static func q4_0(_ input: UnsafeRawPointer, blocks: Int, into output: UnsafeMutablePointer<Float>) {
        for block in 0..<blocks {
            let source = input + block * 18
            let target = output + block * 32
            let scale = half(source, 0)
            let nibbles = (source + 2).assumingMemoryBound(to: UInt8.self)
            for index in 0..<16 {
                target[index] = scale * Float(Int32(nibbles[index] & 15) - 8)
                target[index + 16] = scale * Float(Int32(nibbles[index] >> 4) - 8)
            }
        }
    }

    /// Block: half scale d, half minimum m, then 16 bytes of nibbles as in Q4_0; q · d + m.
    static func q4_1(_ input: UnsafeRawPointer, blocks: Int, into output: UnsafeMutablePointer<Float>) {
        for block in 0..<blocks {
            let source = input + block * 20
            let target = output + block * 32
            let scale = half(source, 0)
            let minimum = half(source, 2)
            let nibbles = (source + 4).assumingMemoryBound(to: UInt8.self)
            for index in 0..<16 {
                target[index] = scale * Float(Int32(nibbles[index] & 15)) + minimum
                target[index + 16] = scale * Float(Int32(nibbles[index] >> 4)) + minimum
            }
        }
    }

    /// Block: half scale d, 32 fifth bits, then 16 bytes of nibbles as in Q4_0; (q − 16) · d.
    static func q5_0(_ input: UnsafeRawPointer, blocks: Int, into output: UnsafeMutablePointer<Float>) {
        for block in 0..<blocks {
            let source = input + block * 22
            let target = output + block * 32
            let scale = half(source, 0)
            for index in 0..<32 { target[index] = scale * Float(fiveBits(source + 2, index) - 16) }
        }
    }

    /// Block: half scale d, half minimum m, then bits as in Q5_0; q · d + m.
    static func q5_1(_ input: UnsafeRawPointer, blocks: Int, into output: UnsafeMutablePointer<Float>) {
        for block in 0..<blocks {
            let source = input + block * 24
            let target = output + block * 32
            let scale = half(source, 0)
            let minimum = half(source, 2)
            for index in 0..<32 { target[index] = scale * Float(fiveBits(source + 4, index)) + minimum }
        }
    }

    /// One of 32 codes: four bytes of fifth bits, then nibbles.
    @inline(__always)
    private static func fiveBits(_ source: UnsafeRawPointer, _ index: Int) -> Int32 {
        let bytes = source.assumingMemoryBound(to: UInt8.self)
        let low = bytes[4 + index % 16] >> UInt8(index / 16 * 4) & 15
        let high = bytes[index / 8] >> UInt8(index % 8) & 1
        return Int32(low | high << 4)
    }

    /// A half as a float, payloads of NaNs kept.
    ///
    /// Exponent and fraction are moved to their places in a float and multiplied by 2^112 to correct the bias, which is
    /// exact and sets subnormals right; infinities and NaNs need their exponent filled. Unlike `Float(Float16)` this
    /// compiles to vector instructions on machines without half support.
    @inline(__always)
    static func half(_ source: UnsafeRawPointer, _ offset: Int) -> Float {
        let bits = UInt32(UInt16(littleEndian: source.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
        let magnitude = (bits & 0x7fff) << 13
        let finite = (Float(bitPattern: magnitude) * 0x1p112).bitPattern
        let value = magnitude < 0x0f80_0000 ? finite : magnitude | 0x7f80_0000
        return Float(bitPattern: value | (bits & 0x8000) << 16)
    }
}
