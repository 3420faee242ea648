// SPDX-License-Identifier: Apache-2.0
import Kernels
import Testing

@testable import Compression

@Suite struct LayerCodecTests {
    @Test func anySplitThreadsAndInstructionsGiveTheSameBytes() throws {
        let codec = try sampleCodec()
        var rows = SampleRows(count: 600, columns: 64, seed: 7), random = Random(5)
        let whole = try encode(&rows, with: codec, pieces: [600], in: work(64, maxRows: 600))
        #expect(whole.count == 600)
        for set in InstructionSet.supported {
            for threads in 1...3 {
                var pieces: [Int] = []
                while pieces.reduce(0, +) < 600 {
                    pieces.append(min(1 + random.below(90), 600 - pieces.reduce(0, +)))
                }
                let split = try encode(
                    &rows, with: codec, pieces: pieces,
                    in: work(64, threads: threads, set: set, maxRows: 1 + random.below(70)))
                #expect(split == whole, "\(set), \(threads) threads, pieces \(pieces)")
            }
        }
    }

    @Test func anySubsetDecodesLikeTheWhole() throws {
        let codec = try sampleCodec()
        var rows = SampleRows(count: 500, columns: 64, seed: 9), random = Random(6)
        let space = try work(64, threads: 2)
        let history = try encode(&rows, with: codec, pieces: [500], in: space)
        let table = try codec.referenceTable(of: history, in: space)
        let all = try decode(Array(0..<500), of: history, with: codec, table: table, in: space)
        for set in InstructionSet.supported {
            let other = try work(64, set: set, maxRows: 7)
            let some = (0..<60).map { _ in random.below(500) }
            for table in [table, nil] {
                let decoded = try decode(some, of: history, with: codec, table: table, in: other)
                for (index, position) in some.enumerated() { #expect(decoded[index] == all[position]) }
            }
        }
    }

    @Test func aTableMadeAgainContinuesAHistory() throws {
        let codec = try sampleCodec()
        var rows = SampleRows(count: 400, columns: 64, seed: 3)
        let space = try work(64)
        let whole = try encode(&rows, with: codec, pieces: [400], in: space)
        var history = try encode(&rows, with: codec, pieces: [233], in: space)
        history = try #require(
            CompressedRows(
                lengths: history.lengths, bytes: history.bytes, sinks: history.sinks, columns: 64,
                settings: codec.settings))
        let table = try codec.referenceTable(of: history, in: space)
        try rows.withMatrix { matrix in
            let rest = Matrix(matrix.base + 233 * 64, rows: 167, columns: 64)
            try codec.encode(rest, appendingTo: &history, references: table, in: space)
        }
        #expect(history == whole)
    }

    /// Errors stay in the range of the step: coarser steps cost fewer bytes and more error, and sinks stay exact to f16.
    @Test func errorsFollowTheStep() throws {
        var last: (bytes: Int, error: Float)?
        for step: Float in [0.25, 0.5, 1, 2] {
            let codec = try sampleCodec(step: step), space = try work(64)
            var rows = SampleRows(count: 400, columns: 64, seed: 21)
            let history = try encode(&rows, with: codec, pieces: [400], in: space)
            let decoded = try decode(Array(0..<400), of: history, with: codec, table: nil, in: space)
            var error: Float = 0, energy: Float = 0
            for row in 0..<400 {
                for i in 0..<64 {
                    let value = rows.values[row * 64 + i], difference = decoded[row][i] - value
                    if row < 8 {
                        #expect(abs(difference) <= abs(value) * 0x1p-11)
                    } else {
                        error += difference * difference
                        energy += (value - codec.parameters.mean[i]) * (value - codec.parameters.mean[i])
                    }
                }
            }
            #expect(error / energy < 0.02 * step)
            if let last {
                #expect(history.fileBytes < last.bytes)
                #expect(error > last.error)
            }
            last = (history.fileBytes, error)
        }
    }

    @Test func rowsThatAreNoNumbersAreRefused() throws {
        let codec = try sampleCodec(), space = try work(64)
        for bad in [Float.nan, .infinity, -.infinity] {
            var rows = SampleRows(count: 40, columns: 64)
            rows.values[17 * 64 + 5] = bad
            #expect(throws: CompressionError.nonFiniteRow(layer: 3)) {
                try encode(&rows, with: codec, pieces: [40], in: space)
            }
        }
    }

    /// Rows far beyond anything calibrated are cut, not wrapped round, and disturb no others.
    @Test func outlandishRowsStayInBounds() throws {
        let codec = try sampleCodec(), space = try work(64)
        var rows = SampleRows(count: 60, columns: 64)
        for i in 0..<64 { rows.values[30 * 64 + i] = i % 2 == 0 ? 1e30 : -1e30 }
        let history = try encode(&rows, with: codec, pieces: [60], in: space)
        let decoded = try decode(Array(0..<60), of: history, with: codec, table: nil, in: space)
        #expect(decoded.allSatisfy { $0.allSatisfy { $0.isFinite } })
        #expect(abs(decoded[31][0] - rows.values[31 * 64]) < 1)
    }

    @Test func bytesAreCounted() throws {
        let codec = try sampleCodec(), space = try work(64)
        var rows = SampleRows(count: 100, columns: 64)
        let history = try encode(&rows, with: codec, pieces: [100], in: space)
        #expect(history.fileBytes == history.bytes.count + 100 + 8 * 64 * 2)
        #expect(history.ramBytes == history.fileBytes + 7 * 4)
    }
}
