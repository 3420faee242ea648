// SPDX-License-Identifier: Apache-2.0
import Kernels
import Testing

@testable import Inference

/// Keeps the keys and values of all rows that pass by.
private final class Recorder: LayerTap {
    let skip: Int
    var rows: [Int: [[Float]]] = [:]

    /// `skip` columns hold queries.
    init(skip: Int) { self.skip = skip }

    func projected(layer: Int, queryKeyValue: Matrix) {
        rows[layer, default: []] += (0..<queryKeyValue.rows).map { Array(queryKeyValue[row: $0].dropFirst(skip)) }
    }

    func attend(layer: Int, rotated: Matrix, to attended: Matrix) -> Bool { false }
}

/// Attends to nothing.
private final class Blind: LayerTap {
    func projected(layer: Int, queryKeyValue: Matrix) {}

    func attend(layer: Int, rotated: Matrix, to attended: Matrix) -> Bool {
        for row in 0..<attended.rows { attended[row: row].update(repeating: 0) }
        return true
    }
}

@Suite struct LayerTapTests {
    /// Keys and values that were read out and stored again are those that the step itself had stored.
    @Test func storedRowsEqualComputedOnes() throws {
        let model = try DefaultModel.get(), c = model.configuration
        let tokens = ids(150, below: c.vocabulary), width = 2 * c.kvHeads * c.headDimension
        let recorder = Recorder(skip: c.heads * c.headDimension)
        var computed = try Runner(model, type: .float16, tokens: 200)
        computed.pass.tap = recorder
        _ = try computed.feed(tokens, chunk: 64)
        computed.pass.tap = nil
        var stored = try Runner(model, type: .float16, tokens: 200)
        // A beginning piece by piece, and the rest handed over at once, which is more than a step computes.
        var handedOver = try Runner(model, type: .float16, tokens: 200, maxRows: 40)
        let beginning = 40, rest = tokens.count - beginning
        handedOver.pass.store(rows: rest, position: beginning, pages: handedOver.pages) { sink in
            for layer in 0..<c.layers {
                let rows = Array((recorder.rows[layer] ?? []).dropFirst(beginning).joined())
                // In two parts, of which the second comes first.
                for (first, count) in [(rest - 30, 30), (0, rest - 30)] {
                    rows.withUnsafeBufferPointer {
                        guard let base = $0.baseAddress else { return }
                        sink.put(sink.context, layer, first, count, base + first * width, width)
                    }
                }
            }
        }
        for layer in 0..<c.layers {
            let rows = try #require(recorder.rows[layer])
            #expect(rows.count == tokens.count)
            for first in stride(from: 0, to: rows.count, by: 40) {
                var piece = Array(rows[first..<min(first + 40, rows.count)].joined())
                piece.withUnsafeMutableBufferPointer {
                    guard let base = $0.baseAddress else { return }
                    let matrix = Matrix(base, rows: $0.count / width, columns: width)
                    stored.pass.store(matrix, layer: layer, position: first, pages: stored.pages)
                    guard first < beginning else { return }
                    handedOver.pass.store(matrix, layer: layer, position: first, pages: handedOver.pages)
                }
            }
        }
        stored.position = tokens.count
        handedOver.position = tokens.count
        let next = try computed.feed([7])
        #expect(try stored.feed([7]) == next && handedOver.feed([7]) == next)
    }

    @Test func attentionCanBeReplaced() throws {
        let model = try DefaultModel.get()
        var plain = try Runner(model, tokens: 64), blind = try Runner(model, tokens: 64)
        let tap = Blind()
        blind.pass.tap = tap
        let tokens = ids(20, below: model.configuration.vocabulary)
        let seen = try plain.feed(tokens), unseen = try blind.feed(tokens)
        #expect(seen != unseen && unseen.allSatisfy { $0.isFinite })
    }
}
