// SPDX-License-Identifier: Apache-2.0

/// Takes rows of all layers of a model as threads make them, a few of one layer at a time.
public struct RowSink {
    /// Takes `count` rows of a layer, the first of which is row `first`: `(context, layer, first, count, rows, stride)`. Several
    /// threads call it at once, for different rows. The rows stay as they are.
    public typealias Put = @convention(c) (UnsafeMutableRawPointer?, Int, Int, Int, UnsafePointer<Float>?, Int) -> Void

    /// What takes them.
    public let put: Put
    /// Its first argument.
    public let context: UnsafeMutableRawPointer
    /// Layers.
    public let layers: Int
    /// Rows of each layer.
    public let rows: Int
    /// Elements of a row.
    public let columns: Int

    /// A sink for so many rows. `context` is valid for as long as the sink is used.
    public init(put: Put, context: UnsafeMutableRawPointer, layers: Int, rows: Int, columns: Int) {
        self.put = put
        self.context = context
        self.layers = layers
        self.rows = rows
        self.columns = columns
    }
}
