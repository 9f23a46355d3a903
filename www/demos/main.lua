-- A page with the demos that have a page.
--
-- To try it:
--   cargo run --release
--   open http://localhost:8080/demos/

function onConnection(client)
	return { index = "index.html" }
end
