// SPDX-License-Identifier: Apache-2.0
import Dispatch
import Foundation
import Glibc

/// Runs a program to its end without blocking a concurrency thread.
///
/// Not Foundation's `Process`: that waits on a descriptor which the server started by `pg_ctl` inherits and keeps open.
/// Here a program gets standard input, output and error, nothing else.
struct Command: Sendable {
    struct Outcome: Sendable {
        /// Exit status; 128 and the signal's number after a signal.
        let status: Int32
        /// What it wrote to standard output and standard error.
        let output: String
        var succeeded: Bool { status == 0 }
    }

    let words: [String]

    /// The environment is fixed: English messages, no `PG*` variables of the caller's.
    private static let environment = [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/",
    ]

    /// Throws when the program cannot be started.
    func run() async throws(DatabaseError) -> Outcome {
        let result: Result<Outcome, DatabaseError> = await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                do throws(DatabaseError) {
                    continuation.resume(returning: .success(try self.runBlocking()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }

    private func runBlocking() throws(DatabaseError) -> Outcome {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw failure(errno) }
        defer { close(ends[0]) }
        // A program that another thread starts at this moment must not hold our pipe open.
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let (code, process) = spawn(output: ends[1])
        close(ends[1])
        guard code == 0 else { throw failure(code) }
        let output = Self.readAll(ends[0])
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        let signal = status & 0x7f
        return Outcome(status: signal == 0 ? (status >> 8) & 0xff : 128 + signal, output: output)
    }

    private func spawn(output: Int32) -> (code: Int32, process: pid_t) {
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, output, 2)
        for descriptor in Self.openDescriptors() where descriptor > 2 {
            posix_spawn_file_actions_addclose(&actions, descriptor)
        }
        // Threads of dispatch block signals, which a program would inherit.
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var process: pid_t = 0
        // The caller's directory may be closed to the account that the program runs as.
        let line = ["/bin/sh", "-c", "cd / && exec \"$0\" \"$@\""] + words
        var arguments = line.map { strdup($0) } + [nil]
        var environment = Self.environment.map { strdup($0) } + [nil]
        defer { (arguments + environment).forEach { free($0) } }
        let code = posix_spawn(&process, line[0], &actions, &attributes, &arguments, &environment)
        return (code, process)
    }

    private static func openDescriptors() -> [Int32] {
        let names = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")
        return (names ?? []).compactMap { Int32($0) }
    }

    private static func readAll(_ descriptor: Int32) -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 8192)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes.append(contentsOf: buffer[..<count])
        }
    }

    private func failure(_ code: Int32) -> DatabaseError {
        DatabaseError("\(words[0]) could not be started: \(String(cString: strerror(code))).")
    }
}
