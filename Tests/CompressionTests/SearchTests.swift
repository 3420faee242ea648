// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels
import Testing

@testable import Compression

/// Candidates and rows of int8.
private struct Search {
    let columns: Int
    let candidates: [[Int8]]
    /// Columns that distances are taken over.
    var searched: Int?

    /// What the kernels find for rows with given numbers of visible candidates.
    func run(_ rows: [[Int8]], limits: [Int], _ isa: dkv_codec_isa) -> [(UInt32, UInt32)] {
        let count = candidates.count, width = (count + 15) / 16 * 16
        let searched = searched ?? columns
        var memory = Array(repeating: UInt8(0), count: dkv_candidate_bytes(columns, searched, width))
        var scratch = Array(repeating: Int32(0), count: 16 * width)
        var first = Array(repeating: UInt32(0), count: 8), second = first
        memory.withUnsafeMutableBytes { memory in
            var table = dkv_candidates_at(memory.baseAddress, columns, searched, width)
            for (index, candidate) in candidates.enumerated() { dkv_candidate_set(&table, index, candidate) }
            for (index, candidate) in candidates.enumerated() {
                #expect(
                    Array(UnsafeBufferPointer(start: dkv_candidate_row(&table, index), count: columns)) == candidate)
            }
            dkv_pair_search(isa, &table, Array(rows.joined()), rows.count, limits, &scratch, &first, &second)
        }
        return rows.indices.map { (first[$0], second[$0]) }
    }

    /// The same by definition: least distance, then least distance of the mean, the lower index among equals.
    func expected(_ row: [Int8], limit: Int) -> (UInt32, UInt32) {
        func least(_ target: [Int]) -> Int {
            let distances = candidates[..<limit].map {
                zip($0.prefix(searched ?? columns), target).reduce(0) { $0 + (Int($1.0) - $1.1) * (Int($1.0) - $1.1) }
            }
            return distances.indices.min { (distances[$0], $0) < (distances[$1], $1) } ?? 0
        }
        let first = least(row.map(Int.init))
        return (UInt32(first), UInt32(least(zip(row, candidates[first]).map { 2 * Int($0) - Int($1) })))
    }
}

@Suite struct SearchTests {
    private static let sets = InstructionSet.supported.map(\.codec)

    @Test func kernelsFindWhatTheDefinitionSays() {
        var random = Random(31)
        for columns in [4, 32, 36, 96, 384] {
            for count in [1, 2, 15, 16, 17, 100] {
                var search = Search(
                    columns: columns,
                    candidates: (0..<count).map { _ in
                        (0..<columns).map { _ in Int8(truncatingIfNeeded: Int(random.next() >> 40)) }
                    })
                search.searched = random.below(2) == 0 ? nil : 4 * (1 + random.below(columns / 4))
                for rowCount in [1, 3, 8] {
                    let rows = (0..<rowCount).map { _ in (0..<columns).map { _ in Int8(random.below(255) - 127) } }
                    let limits = rows.map { _ in 1 + random.below(count) }
                    for isa in Self.sets {
                        let found = search.run(rows, limits: limits, isa)
                        for i in rows.indices { #expect(found[i] == search.expected(rows[i], limit: limits[i])) }
                    }
                }
            }
        }
    }

    @Test func tiesAndExtremes() {
        let low = Array(repeating: Int8(-127), count: 512), high = Array(repeating: Int8(127), count: 512)
        let search = Search(
            columns: 512, candidates: [high, low, low, high, high, low] + Array(repeating: low, count: 30))
        for isa in Self.sets {
            let found = search.run([low, high, low], limits: [36, 36, 1], isa)
            #expect(found[0] == (1, 1) && found[1] == (0, 0) && found[2] == (0, 0))
        }
    }
}
