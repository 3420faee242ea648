// SPDX-License-Identifier: Apache-2.0
import Kernels
import ModelFiles

extension WeightLoader {
    /// Weights of types without kernels, or of several types, as Q8_0: off by at most 1/254 of the largest of 32 neighbours.
    /// Rows are converted one by one, so no more memory is taken than for the result.
    func requantized(_ parts: [Part], _ tensors: [GGUFTensor], inputs: Int) throws -> QuantizedMatrix {
        let sources = zip(parts, tensors).flatMap { part, tensor in
            (0..<part.outputs).map { (tensor: tensor, row: part.source($0)) }
        }
        let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: inputs)
        let blocks = UnsafeMutableRawBufferPointer.allocate(
            byteCount: inputs / QuantizedType.blockLength * QuantizedType.q8_0.blockBytes, alignment: 16)
        defer {
            values.deallocate()
            blocks.deallocate()
        }
        var failure: (any Error)?
        do {
            return try QuantizedMatrix(type: .q8_0, rows: sources.count, columns: inputs) { row in
                let (tensor, source) = sources[row]
                do {
                    try tensor.dequantizeRow(source, into: values)
                    guard UnsafeBufferPointer(values).allFinite else {
                        throw InferenceError.nonFiniteWeight(tensor: tensor.name)
                    }
                    Quantisation.q8_0(UnsafeBufferPointer(values), into: blocks)
                    return UnsafeRawBufferPointer(blocks)
                } catch {
                    // Nothing is refused as a row of the wrong size.
                    failure = error
                    return UnsafeRawBufferPointer(start: nil, count: 0)
                }
            }
        } catch QuantizedError.nonFiniteScale(let row, _) {
            throw InferenceError.nonFiniteWeight(tensor: sources[row].tensor.name)
        } catch {
            throw failure ?? error
        }
    }
}
