// SPDX-License-Identifier: Apache-2.0

/// A view of fp32 rows in memory that someone else owns and keeps alive. `stride` is the distance of rows in elements.
public struct Matrix {
    /// The first element.
    public let base: UnsafeMutablePointer<Float>
    /// Rows in use.
    public let rows: Int
    /// Elements of a row.
    public let columns: Int
    /// Elements from one row to the next, at least ``columns``.
    public let stride: Int

    /// A view; by default rows follow each other without gaps.
    public init(_ base: UnsafeMutablePointer<Float>, rows: Int, columns: Int, stride: Int? = nil) {
        let stride = stride ?? columns
        precondition(rows >= 0 && columns >= 0 && stride >= columns, "matrix shape out of range")
        self.base = base
        self.rows = rows
        self.columns = columns
        self.stride = stride
    }

    /// Row `index` as a buffer.
    public subscript(row index: Int) -> UnsafeMutableBufferPointer<Float> {
        precondition(index >= 0 && index < rows, "row out of range")
        return UnsafeMutableBufferPointer(start: base + index * stride, count: columns)
    }

    /// The first `count` rows.
    public func first(_ count: Int) -> Matrix { rows(0, count) }

    /// `count` rows from `first` on.
    public func rows(_ first: Int, _ count: Int) -> Matrix {
        precondition(first >= 0 && count >= 0 && first + count <= rows, "not that many rows")
        return Matrix(base + first * stride, rows: count, columns: columns, stride: stride)
    }
}
