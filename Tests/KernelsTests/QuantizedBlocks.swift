// SPDX-License-Identifier: Apache-2.0
@testable import Kernels

/// Weights in GGUF blocks with everything that the format says about them, written apart from the code under test.
struct QuantizedBlocks {
    let type: QuantizedType
    let rows: Int, columns: Int
    /// Per row and block.
    var blocks: [Block]

    struct Block {
        var scale: Float16
        var minimum: Float16
        /// As stored: unsigned, or for Q8_0 signed.
        var codes: [Int]
    }

    var blocksPerRow: Int { columns / 32 }
    var hasMinima: Bool { type == .q4_1 || type == .q5_1 }
    var offset: Int { type == .q4_0 ? 8 : type == .q5_0 ? 16 : 0 }
    var codeRange: ClosedRange<Int> { Self.codeRange(type) }

    static func codeRange(_ type: QuantizedType) -> ClosedRange<Int> {
        switch type {
        case .q4_0, .q4_1: 0...15
        case .q5_0, .q5_1: 0...31
        case .q8_0: -128...127
        }
    }

    init(_ type: QuantizedType, rows: Int, columns: Int, block: (_ index: Int) -> Block) {
        (self.type, self.rows, self.columns) = (type, rows, columns)
        blocks = (0..<rows * columns / 32).map(block)
    }

    static func random(_ type: QuantizedType, rows: Int, columns: Int, seed: UInt64) -> QuantizedBlocks {
        var random = Random(seed)
        return QuantizedBlocks(type, rows: rows, columns: columns) { _ in
            Block(
                scale: Float16(Float.random(in: -0.1...0.1, using: &random)),
                minimum: Float16(Float.random(in: -1...1, using: &random)),
                codes: (0..<32).map { _ in Int.random(in: codeRange(type), using: &random) })
        }
    }

    /// The blocks as a file holds them.
    var bytes: [UInt8] { blocks.flatMap(bytes) }

    private func bytes(_ block: Block) -> [UInt8] {
        var bytes = halves(block.scale)
        if hasMinima { bytes += halves(block.minimum) }
        if type == .q8_0 { return bytes + block.codes.map { UInt8(truncatingIfNeeded: $0) } }
        if type == .q5_0 || type == .q5_1 {
            let high = block.codes.enumerated().reduce(UInt32(0)) { $0 | UInt32($1.element >> 4) << UInt32($1.offset) }
            bytes += (0..<4).map { UInt8(truncatingIfNeeded: high >> (8 * $0)) }
        }
        return bytes + (0..<16).map { UInt8(block.codes[$0] & 15 | (block.codes[$0 + 16] & 15) << 4) }
    }

    private func halves(_ value: Float16) -> [UInt8] {
        [UInt8(truncatingIfNeeded: value.bitPattern), UInt8(value.bitPattern >> 8)]
    }

    func matrix() throws -> QuantizedMatrix {
        try bytes.withUnsafeBytes { try QuantizedMatrix(type: type, rows: rows, columns: columns, blocks: $0) }
    }

    /// A row as GGUF dequantises it: product and sum rounded one by one.
    func values(row: Int) -> [Float] {
        blocks[row * blocksPerRow..<(row + 1) * blocksPerRow].flatMap { block in
            block.codes.map { code in
                let product = Float(block.scale) * Float(code - offset)
                return hasMinima ? product + Float(block.minimum) : product
            }
        }
    }

    /// The product as it is defined, to the bit. `start` is what the output holds before, if it is added to.
    func product(_ x: [Float], start: [Float]? = nil) -> [Float] {
        let inputs = x.count / columns
        let quantized = (0..<inputs).map { row in
            (0..<blocksPerRow).map { QuantizedBlock(x[row * columns + $0 * 32..<row * columns + $0 * 32 + 32]) }
        }
        return (0..<inputs * rows).map { index in
            var sum: Float = 0
            let weights = blocks[index % rows * blocksPerRow..<(index % rows + 1) * blocksPerRow]
            for (x, w) in zip(quantized[index / rows], weights) {
                let dot = zip(x.codes, w.codes).reduce(0) { $0 + $1.0 * ($1.1 - offset) }
                sum = sum.addingProduct(Float(dot), Float(w.scale) * x.scale)
                if hasMinima { sum = sum.addingProduct(Float(w.minimum), x.scale * Float(x.codes.reduce(0, +))) }
            }
            return start.map { $0[index] + sum } ?? sum
        }
    }
}

/// A block of activations, quantised as it is defined.
struct QuantizedBlock {
    var scale: Float = 0
    var codes = [Int](repeating: 0, count: 32)

    init(_ x: ArraySlice<Float>) {
        guard x.allSatisfy(\.isFinite) else {
            scale = .nan
            return
        }
        let greatest = x.reduce(0) { max($0, abs($1)) }
        guard greatest >= 0x1p-116 else { return }
        scale = greatest / 127
        let factor = 127 / greatest
        codes = x.map { Int(($0 * factor).rounded(.toNearestOrEven)) }
    }
}

extension QuantizedMatrix {
    /// The product of rows of floats, on its own pool and in memory with canaries.
    func product(_ x: [Float], _ set: InstructionSet, threads: Int = 2, start: [Float]? = nil) throws -> Rows {
        let count = x.count / columns
        let input = Rows(count, columns, values: x), output = Rows(count, rows, values: start)
        let compute = try compute(set, threads: threads)
        let activations = try QuantizedActivations(maxRows: count, maxColumns: columns)
        // A view does not keep its rows alive.
        withExtendedLifetime((input, output)) {
            activations.quantize(input.matrix, with: compute)
            multiply(activations, into: output.matrix, adding: start != nil, with: compute)
        }
        return output
    }
}

/// The first place where bits differ, `nil` if nowhere. NaNs are all alike.
func firstDifference(_ a: some Collection<Float>, _ b: some Collection<Float>) -> Int? {
    guard a.count == b.count else { return min(a.count, b.count) }
    return zip(a, b).enumerated().first { _, pair in
        pair.0.bitPattern != pair.1.bitPattern && !(pair.0.isNaN && pair.1.isNaN)
    }?.offset
}
