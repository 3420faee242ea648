// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels

/// Room for coding and decoding, shared by all layers and sequences of one thread of control. One caller at a time.
public final class CodecWorkspace {
    /// Where loops run.
    public let compute: Compute
    /// Rows that are worked on at once; longer inputs go in pieces, with the same result.
    let maxRows: Int
    let columns: Int
    let quantized: QuantizedActivations
    let instructions: dkv_codec_isa
    private let memory: ReservedMemory
    private var scratchMemory: ReservedMemory
    private let rowLimit: Int

    /// Room for rows of `columns` elements.
    ///
    /// - Throws: ``CompressionError/kernel(_:)``.
    public init(columns: Int, compute: Compute, maxRows: Int = 512) throws(CompressionError) {
        precondition(columns > 0 && columns % 32 == 0 && maxRows > 0, "shapes out of range")
        self.columns = columns
        self.compute = compute
        self.maxRows = maxRows
        instructions = dkv_codec_best(
            compute.instructionSet == .avx512 ? 2 : compute.instructionSet == .avx2 ? 1 : 0)
        rowLimit = dkv_row_limit(columns)
        do {
            quantized = try QuantizedActivations(maxRows: maxRows, maxColumns: LayerParameters.mostSources * columns)
            memory = try ReservedMemory(count: maxRows * (20 * columns + rowLimit + columns + 2 + 4) + 64)
            scratchMemory = try ReservedMemory(count: 4)
        } catch let error as KernelError {
            throw .kernel(error)
        } catch QuantizedError.kernel(let error) {
            throw .kernel(error)
        } catch {
            preconditionFailure("the shape was checked: \(error)")
        }
    }

    /// [maxRows][columns], centred rows.
    func centred(_ rows: Int) -> Matrix { Matrix(memory.floats(), rows: rows, columns: columns) }

    /// [maxRows][count], coefficients.
    func coefficients(_ rows: Int, _ count: Int) -> Matrix {
        Matrix(memory.floats(at: 4 * maxRows * columns), rows: rows, columns: count)
    }

    /// [maxRows][columns], rows as predicted from other layers.
    func predicted(_ rows: Int) -> Matrix {
        Matrix(memory.floats(at: 8 * maxRows * columns), rows: rows, columns: columns)
    }

    /// [maxRows][sources · columns], centred rows of other layers side by side.
    func sources(_ rows: Int, _ sources: Int) -> Matrix {
        Matrix(memory.floats(at: 12 * maxRows * columns), rows: rows, columns: sources * columns)
    }

    private var afterFloats: UnsafeMutableRawPointer { memory.base + 20 * maxRows * columns }
    /// [maxRows] positions or rows.
    var list: UnsafeMutablePointer<UInt32> { afterFloats.assumingMemoryBound(to: UInt32.self) }
    /// [maxRows]
    var lengths: UnsafeMutablePointer<UInt16> { (afterFloats + 4 * maxRows).assumingMemoryBound(to: UInt16.self) }
    /// [maxRows][row limit of the coefficients], coded rows, each at the end of its place.
    var coded: UnsafeMutablePointer<UInt8> { (afterFloats + 6 * maxRows).assumingMemoryBound(to: UInt8.self) }
    /// [maxRows][columns], references as candidates.
    var decoded: UnsafeMutablePointer<Int8> {
        (afterFloats + (6 + rowLimit) * maxRows).assumingMemoryBound(to: Int8.self)
    }

    /// Does something with each of some rows, on all threads.
    func forEachRow(_ rows: Int, _ body: (Int) -> Void) {
        let piece = 32
        // Each row is one thread's, and all are done when this returns.
        withoutActuallyEscaping(body) { body in
            nonisolated(unsafe) let body = body
            compute.pool.run(count: (rows + piece - 1) / piece) { index in
                for row in index * piece..<min(rows, (index + 1) * piece) { body(row) }
            }
        }
    }

    /// A row that was coded from a number of coefficients.
    func codedRow(_ row: Int, coefficients: Int) -> UnsafeBufferPointer<UInt8> {
        let end = coded + (row + 1) * dkv_row_limit(coefficients)
        return UnsafeBufferPointer(start: end - Int(lengths[row]), count: Int(lengths[row]))
    }

    /// Room for every worker.
    func scratch(perWorker count: Int) throws(CompressionError) -> UnsafeMutablePointer<Int32> {
        let bytes = 4 * count * compute.pool.threads
        if scratchMemory.count < bytes {
            do throws(KernelError) { scratchMemory = try ReservedMemory(count: 2 * bytes) } catch {
                throw .kernel(error)
            }
        }
        return scratchMemory.base.assumingMemoryBound(to: Int32.self)
    }
}
