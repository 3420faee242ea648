// SPDX-License-Identifier: Apache-2.0

/// Latents as bytes.
///
/// int4 is asymmetric: step = (largest − smallest) / 15, both kept in half precision and read back before use; a code is
/// (x − smallest) / (step + 10⁻⁶), rounded half to even and kept within 0...15; two codes a byte, the first in the low half.
/// Steps and minima of all groups stand before the codes. (The published engine keeps steps in the model's own type, bf16.)
enum LatentCodes {
    static func append(_ latent: UnsafeMutableBufferPointer<Float>, as form: LatentForm, to bytes: inout [UInt8]) {
        guard case .int4(let group) = form else {
            for value in latent { put(half(value), &bytes) }
            return
        }
        var codes = Array(repeating: UInt8(0), count: (latent.count + 1) / 2)
        for first in stride(from: 0, to: latent.count, by: group ?? latent.count) {
            let part = first..<min(latent.count, first + (group ?? latent.count))
            var low = Float.infinity, high = -Float.infinity
            for i in part { (low, high) = (min(low, latent[i]), max(high, latent[i])) }
            let step = half((high - low) / 15), minimum = half(low)
            put(step, &bytes)
            put(minimum, &bytes)
            for i in part {
                let scaled = (latent[i] - Float(minimum)) / (Float(step) + 1e-6)
                let code = UInt8(max(0, min(15, scaled.rounded(.toNearestOrEven))))
                codes[i / 2] |= i % 2 == 0 ? code : code << 4
            }
        }
        bytes += codes
    }

    static func read(_ bytes: UnsafePointer<UInt8>, as form: LatentForm, to latent: UnsafeMutableBufferPointer<Float>) {
        guard case .int4(let group) = form else {
            for i in latent.indices { latent[i] = Float(half(at: bytes + 2 * i)) }
            return
        }
        let size = group ?? latent.count, codes = bytes + 4 * ((latent.count + size - 1) / size)
        for i in latent.indices {
            let scales = bytes + 4 * (i / size), code = i % 2 == 0 ? codes[i / 2] & 15 : codes[i / 2] >> 4
            latent[i] = Float(code) * Float(half(at: scales)) + Float(half(at: scales + 2))
        }
    }

    /// Half precision; what is beyond its range becomes its largest value.
    static func half(_ value: Float) -> Float16 { Float16(max(-65504, min(65504, value))) }

    private static func put(_ value: Float16, _ bytes: inout [UInt8]) {
        let bits = value.bitPattern
        bytes.append(UInt8(bits & 0xff))
        bytes.append(UInt8(bits >> 8))
    }

    private static func half(at bytes: UnsafePointer<UInt8>) -> Float16 {
        Float16(bitPattern: UInt16(bytes[0]) | UInt16(bytes[1]) << 8)
    }
}
