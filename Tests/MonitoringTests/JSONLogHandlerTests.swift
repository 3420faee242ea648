// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Monitoring
import Synchronization
import Testing

@Suite struct JSONLogHandlerTests {
    private final class Lines: Sendable {
        let all = Mutex<[String]>([])
    }

    private func lines(_ body: (inout Logger) -> Void) throws -> [[String: Any]] {
        let lines = Lines()
        var logger = Logger(label: "test") {
            JSONLogHandler(label: $0) { line in lines.all.withLock { $0.append(line) } }
        }
        body(&logger)
        return try lines.all.withLock { $0 }.map { line in
            #expect(line.last == "\n" && line.dropLast().contains("\n") == false, "one line")
            return try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        }
    }

    @Test func aLineIsJSONWithItsMetadata() throws {
        let found = try lines { logger in
            logger[metadataKey: "worker"] = "3"
            logger.notice(
                "Job \"1\"\nfailed\u{1}.", metadata: ["job": "17", "codes": ["a", "b"], "more": ["x": "\\"]])
        }
        let line = try #require(found.first)
        #expect(line["message"] as? String == "Job \"1\"\nfailed\u{1}.")
        #expect(line["level"] as? String == "notice")
        #expect(line["logger"] as? String == "test")
        #expect(line["job"] as? String == "17")
        #expect(line["worker"] as? String == "3")
        #expect(line["codes"] as? [String] == ["a", "b"])
        #expect((line["more"] as? [String: String])?["x"] == "\\")
        #expect((line["time"] as? String)?.hasSuffix("Z") == true)
    }

    @Test func metadataCannotForgeALinesOwnFields() throws {
        let line = try #require(
            try lines { $0.info("true", metadata: ["message": "forged", "level": "forged"]) }.first)
        #expect(line["message"] as? String == "true")
        #expect(line["level"] as? String == "info")
    }

    @Test func whatIsBelowTheLevelIsNotWritten() throws {
        #expect(try lines { $0.debug("quiet") }.isEmpty)
    }
}
