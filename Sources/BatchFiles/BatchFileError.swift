// SPDX-License-Identifier: Apache-2.0

/// Why a batch file could not be read or written at all. What is wrong with single lines is a ``LineFault``.
public enum BatchFileError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The file cannot be opened.
    case unreadable(path: String, reason: String)
    /// The file cannot be made or written.
    case unwritable(path: String, reason: String)
    /// More lines than a batch may have.
    case tooManyLines(count: Int, limit: Int)
    /// More bytes than an input file may have.
    case tooManyBytes(count: Int, limit: Int)
    /// No batch has that name.
    case noBatch(String)
    /// Several tenants have a batch of that name.
    case severalTenants(String, [String])
    /// The batch has not ended.
    case unfinished(String, jobs: Int)

    /// A plain sentence that says what to do.
    public var description: String {
        switch self {
        case .unreadable(let path, let reason): "\(path) cannot be read: \(reason)"
        case .unwritable(let path, let reason): "\(path) cannot be written: \(reason)"
        case .tooManyLines(let count, let limit):
            "the file has \(count) requests and a batch may have \(limit): split it, or allow more with --max-lines"
        case .tooManyBytes(let count, let limit):
            "the file has \(count) bytes and may have \(limit): split it, or allow more with --max-bytes"
        case .noBatch(let name): "there is no batch '\(name)'"
        case .severalTenants(let name, let tenants):
            "several tenants have a batch '\(name)' (\(tenants.joined(separator: ", "))): name one with --tenant"
        case .unfinished(let name, let jobs):
            "batch '\(name)' has \(jobs) jobs that have not ended: give --wait, or --so-far for what there is now"
        }
    }
}

/// What is wrong with one line of an input file, in the shape of the API's `errors.data`.
public struct LineFault: Error, Sendable, Hashable, Codable {
    /// What is wrong, for programs: a short word such as `invalid_json_line`.
    public var code: String
    /// The same for people.
    public var message: String
    /// The member of the request that is wrong.
    public var param: String?
    /// The line, from 1.
    public var line: Int

    init(_ code: String, _ message: String, param: String? = nil, line: Int = 0) {
        self.code = code
        self.message = message
        self.param = param
        self.line = line
    }
}
