// SPDX-License-Identifier: Apache-2.0
import COpenBLAS

/// OpenBLAS, loaded at run time with the kernels that fit the CPU. It serves one-off products (calibration, checks); the
/// forward pass has its own kernels, whose results do not depend on the batch.
public struct OpenBLAS: Sendable {
    /// The kernel set in use, such as `SkylakeX`.
    public let core: String
    /// The library's description of itself: version and build options.
    public let configuration: String

    /// Loads the library (once per process) and checks one product against a plain loop.
    ///
    /// Sets `OPENBLAS_CORETYPE` unless it is set already: call this before other threads use the environment.
    ///
    /// - Throws: ``KernelError/openBLAS(_:)`` if it is missing, incomplete or wrong.
    public init() throws(KernelError) {
        guard let info = dkv_blas_load()?.pointee else { throw .openBLAS("the loader returned nothing") }
        switch info.status {
        case DKV_BLAS_READY: break
        case DKV_BLAS_MISSING: throw .openBLAS("the library was not found (\(Self.text(info.detail)))")
        case DKV_BLAS_INCOMPLETE: throw .openBLAS("a function is missing from it (\(Self.text(info.detail)))")
        default: throw .openBLAS("with core \(Self.text(info.core)), \(Self.text(info.detail))")
        }
        core = Self.text(info.core)
        configuration = Self.text(info.config)
    }

    /// `c = a · bᵀ` on the calling thread; `a` is `[m][k]`, `b` is `[n][k]`, `c` is `[m][n]`, all dense and row-major.
    ///
    /// The rounding of an element may depend on m and n. Traps if a buffer is too small.
    public func multiplyTransposed(
        _ a: UnsafeBufferPointer<Float>, _ b: UnsafeBufferPointer<Float>, into c: UnsafeMutableBufferPointer<Float>,
        m: Int, n: Int, k: Int
    ) {
        precondition(m > 0 && n > 0 && k > 0 && max(m, n, k) < Int(Int32.max), "sizes out of range")
        precondition(a.count >= m * k && b.count >= n * k && c.count >= m * n, "a buffer is too small")
        dkv_blas_sgemm(
            false, true, Int32(m), Int32(n), Int32(k), 1, a.baseAddress, Int32(k), b.baseAddress, Int32(k), 0,
            c.baseAddress, Int32(n))
    }

    /// Eigenvalues in ascending order and eigenvectors, [n][n] by rows, of a symmetric matrix [n][n].
    ///
    /// - Throws: ``KernelError/openBLAS(_:)`` if the iteration does not converge or memory is refused.
    public func eigen(symmetric matrix: [Double], n: Int) throws(KernelError) -> (values: [Double], vectors: [Double]) {
        precondition(n > 0 && n < 1 << 15 && matrix.count == n * n, "sizes out of range")
        var vectors = matrix, values = Array(repeating: 0.0, count: n)
        let status = dkv_blas_eigen(Int32(n), &vectors, &values)
        guard status == 0, values.allSatisfy(\.isFinite) else {
            throw .openBLAS("eigenvalues of a \(n) × \(n) matrix were not found (code \(status))")
        }
        return (values, vectors)
    }

    /// The solutions of `matrix · x = right` for several right sides, [sides][n], by Cholesky's decomposition of a symmetric
    /// positive definite matrix [n][n].
    ///
    /// - Throws: ``KernelError/openBLAS(_:)`` where the matrix is not positive definite.
    public func solve(symmetric matrix: [Double], n: Int, right: [Double]) throws(KernelError) -> [Double] {
        precondition(n > 0 && n < 1 << 15 && matrix.count == n * n && right.count % n == 0, "sizes out of range")
        var factor = matrix, solutions = right
        let status = dkv_blas_solve(Int32(n), Int32(right.count / n), &factor, &solutions)
        guard status == 0, solutions.allSatisfy(\.isFinite) else {
            throw .openBLAS("a system of \(n) equations has no solution (code \(status))")
        }
        return solutions
    }

    /// `c = a · b`, or `c = aᵀ · b` where `a` is [k][m]; `b` is [k][n], `c` [m][n], all dense and row-major.
    public func multiply(
        _ a: UnsafePointer<Float>, transposed: Bool = false, _ b: UnsafePointer<Float>,
        into c: UnsafeMutablePointer<Float>, m: Int, n: Int, k: Int
    ) {
        precondition(m > 0 && n > 0 && k > 0 && max(m, n, k) < Int(Int32.max), "sizes out of range")
        dkv_blas_sgemm(
            transposed, false, Int32(m), Int32(n), Int32(k), 1, a, Int32(transposed ? m : k), b, Int32(n), 0, c,
            Int32(n))
    }

    /// Rows of a product that one task computes, whatever the number of threads: so the bits do not depend on it.
    private static let rowsOfTask = 128

    /// ``multiply(_:transposed:_:into:m:n:k:)`` by all threads of a pool.
    public func multiply(
        _ a: UnsafePointer<Float>, transposed: Bool = false, _ b: UnsafePointer<Float>,
        into c: UnsafeMutablePointer<Float>, m: Int, n: Int, k: Int, on pool: ThreadPool
    ) {
        nonisolated(unsafe) let (a, b, c) = (a, b, c)
        precondition(m > 0 && n > 0 && k > 0 && max(m, n, k) < Int(Int32.max), "sizes out of range")
        pool.run(count: (m + Self.rowsOfTask - 1) / Self.rowsOfTask) { task in
            let first = task * Self.rowsOfTask, rows = min(Self.rowsOfTask, m - first)
            dkv_blas_sgemm(
                transposed, false, Int32(rows), Int32(n), Int32(k), 1, a + (transposed ? first : first * k),
                Int32(transposed ? m : k), b, Int32(n), 0, c + first * n, Int32(n))
        }
    }

    /// ``multiplyTransposed(_:_:into:m:n:k:)`` by all threads of a pool.
    public func multiplyTransposed(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into c: UnsafeMutablePointer<Float>, m: Int, n: Int,
        k: Int, on pool: ThreadPool
    ) {
        nonisolated(unsafe) let (a, b, c) = (a, b, c)
        precondition(m > 0 && n > 0 && k > 0 && max(m, n, k) < Int(Int32.max), "sizes out of range")
        pool.run(count: (m + Self.rowsOfTask - 1) / Self.rowsOfTask) { task in
            let first = task * Self.rowsOfTask, rows = min(Self.rowsOfTask, m - first)
            dkv_blas_sgemm(
                false, true, Int32(rows), Int32(n), Int32(k), 1, a + first * k, Int32(k), b, Int32(k), 0,
                c + first * n, Int32(n))
        }
    }

    /// A C character array as text.
    private static func text<Characters>(_ characters: Characters) -> String {
        withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
