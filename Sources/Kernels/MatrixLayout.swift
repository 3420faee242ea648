// SPDX-License-Identifier: Apache-2.0

/// Where several matrices stand in one piece of memory. Rows start at cache lines, and one line more keeps rows of a tile off
/// the same cache sets when their length is a multiple of a large power of two.
public struct MatrixLayout {
    private let shapes: [(rows: Int, columns: Int)]

    /// Matrices of these shapes, one after another.
    public init(_ shapes: [(rows: Int, columns: Int)]) { self.shapes = shapes }

    /// Bytes of all matrices.
    public var byteCount: Int {
        shapes.reduce(0) { $0 + $1.rows * Self.stride($1.columns) } * MemoryLayout<Float>.stride
    }

    /// Views of the matrices in memory of ``byteCount`` bytes, which the caller keeps alive.
    public func matrices(in memory: UnsafeMutableRawPointer) -> [Matrix] {
        var next = memory.assumingMemoryBound(to: Float.self)
        return shapes.map { rows, columns in
            defer { next += rows * Self.stride(columns) }
            return Matrix(next, rows: rows, columns: columns, stride: Self.stride(columns))
        }
    }

    private static func stride(_ columns: Int) -> Int { (columns + 15) / 16 * 16 + 16 }
}
