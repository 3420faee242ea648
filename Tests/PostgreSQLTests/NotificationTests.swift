// SPDX-License-Identifier: Apache-2.0
import PostgreSQL
import TestSupport
import Testing

@Suite struct NotificationTests {
    @Test func notificationsArriveWhileNothingRuns() async throws {
        try await withTestDatabase { settings in
            let listener = try await PostgresConnection.connect(settings)
            let sender = try await PostgresConnection.connect(settings)
            let stream = try await listener.listen("Odd \"channel\"")
            let other = try await listener.listen("other")
            let sending = Task {
                for number in 0..<100 {
                    try await sender.query("SELECT pg_notify('Odd \"channel\"', $1)", ["\(number)"])
                }
            }
            var payloads: [String] = []
            for await notification in stream {
                #expect(notification.channel == "Odd \"channel\"")
                #expect(notification.backendProcessID == (await sender.backendProcessID))
                payloads.append(notification.payload)
                if payloads.count == 100 { break }
            }
            #expect(payloads == (0..<100).map(String.init))
            try await sending.value
            try await listener.query("SELECT pg_notify('other', 'self')")
            var iterator = other.makeAsyncIterator()
            #expect(await iterator.next()?.payload == "self")
            await listener.close()
            #expect(await iterator.next() == nil)
            await sender.close()
        }
    }

    @Test func subscribersComeAndGo() async throws {
        try await withTestConnection { connection in
            for round in 0..<20 {
                let stream = try await connection.listen("c")
                try await connection.query("SELECT pg_notify('c', $1)", ["\(round)"])
                for await notification in stream {
                    #expect(notification.payload == "\(round)")
                    break
                }
            }
        }
    }
}
